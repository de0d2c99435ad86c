package setup

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/leftfold/leftfold/controllers/runtime"
)

// Options are what the operator is started with.
type Options struct {
	// Namespace is the operator's own: its lease and its authority are there.
	// Default: POD_NAMESPACE. Required.
	Namespace string
	// WatchNamespaces are where objects are reconciled. Empty: everywhere.
	WatchNamespaces []string
	// RuntimeImage is what runtime pods run unless a Runtime says otherwise.
	// Default: leftfold and the operator's own version.
	RuntimeImage string
	// RuntimeRole is what a Runtime's service account is bound to: ClusterRole/NAME
	// or Role/NAME. Default: ClusterRole/leftfold-runtime.
	RuntimeRole string
	// MetricsAddress is where metrics are served over TLS; "0": nowhere. Default:
	// :8443.
	MetricsAddress string
	// MetricsAuthentication asks the API server who reads metrics, and whether they
	// may. Default: true.
	MetricsAuthentication bool
	// HealthAddress is where /livez and /readyz are served. Default: :8081.
	HealthAddress string
	// LeaderElection lets one of several replicas lead. Default: true.
	LeaderElection bool
	// LogLevel is debug, info, warn or error; default info. LogFormat is json or
	// text; default json.
	LogLevel, LogFormat string
}

// NewOptions gives the defaults of a release.
func NewOptions(version string) Options {
	return Options{
		Namespace: os.Getenv("POD_NAMESPACE"), RuntimeImage: "leftfold:" + version, RuntimeRole: "ClusterRole/leftfold-runtime",
		MetricsAddress: ":8443", MetricsAuthentication: true, HealthAddress: ":8081", LeaderElection: true,
		LogLevel: "info", LogFormat: "json",
	}
}

// Bind makes flags of the options.
func (o *Options) Bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.Namespace, "namespace", o.Namespace, "the operator's own namespace (environment: POD_NAMESPACE)")
	flags.StringSliceVar(&o.WatchNamespaces, "watch-namespaces", o.WatchNamespaces, "where to reconcile objects, separated by commas (default: everywhere)")
	flags.StringVar(&o.RuntimeImage, "runtime-image", o.RuntimeImage, "what runtime pods run unless a Runtime says otherwise")
	flags.StringVar(&o.RuntimeRole, "runtime-role", o.RuntimeRole, "what service accounts of Runtimes are bound to: ClusterRole/NAME or Role/NAME")
	flags.StringVar(&o.MetricsAddress, "metrics-address", o.MetricsAddress, "where to serve metrics over TLS; 0 for nowhere")
	flags.BoolVar(&o.MetricsAuthentication, "metrics-authentication", o.MetricsAuthentication, "ask the API server who reads metrics and whether they may")
	flags.StringVar(&o.HealthAddress, "health-address", o.HealthAddress, "where to serve /livez and /readyz")
	flags.BoolVar(&o.LeaderElection, "leader-election", o.LeaderElection, "let one of several replicas lead")
	flags.StringVar(&o.LogLevel, "log-level", o.LogLevel, "debug, info, warn or error")
	flags.StringVar(&o.LogFormat, "log-format", o.LogFormat, "json or text")
}

// role is what RuntimeRole names.
func (o *Options) role() runtime.Role {
	kind, name, _ := strings.Cut(o.RuntimeRole, "/")
	return runtime.Role{Kind: kind, Name: name}
}

// check names the flag that is wrong.
func (o *Options) check() error {
	role := o.role()
	switch {
	case o.Namespace == "":
		return fmt.Errorf("--namespace is required outside of a pod that has POD_NAMESPACE")
	case o.RuntimeImage == "":
		return fmt.Errorf("--runtime-image must not be empty")
	case role.Kind != "ClusterRole" && role.Kind != "Role" || role.Name == "":
		return fmt.Errorf("--runtime-role is %q: write ClusterRole/NAME or Role/NAME", o.RuntimeRole)
	}
	_, err := o.handler()
	return err
}

// handler is where log lines go.
func (o *Options) handler() (slog.Handler, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.LogLevel)); err != nil {
		return nil, fmt.Errorf("--log-level is %q: write debug, info, warn or error", o.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch o.LogFormat {
	case "json":
		return slog.NewJSONHandler(os.Stderr, options), nil
	case "text":
		return slog.NewTextHandler(os.Stderr, options), nil
	}
	return nil, fmt.Errorf("--log-format is %q: write json or text", o.LogFormat)
}
