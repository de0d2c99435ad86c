package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/server"
)

// pod holds the flags of leftfold runtime.
type pod struct {
	namespace, runtime, name, uid, ip, node string
	store, schema, data                     string
	identity                                string
	listen, ops, rpc                        string
	interval, timeout                       time.Duration
	kubeconfig, logLevel                    string
}

// podEnvironment gives the variable of each flag, as the operator sets it. A flag
// that is given goes before its variable.
var podEnvironment = map[string]string{
	"namespace":          "LEFTFOLD_NAMESPACE",
	"runtime":            "LEFTFOLD_RUNTIME",
	"pod":                "LEFTFOLD_POD",
	"pod-uid":            "LEFTFOLD_POD_UID",
	"pod-ip":             "LEFTFOLD_POD_IP",
	"node":               "LEFTFOLD_NODE",
	"store":              "LEFTFOLD_STORE",
	"schema":             "LEFTFOLD_SCHEMA",
	"data":               "LEFTFOLD_DATA",
	"identity":           "LEFTFOLD_IDENTITY",
	"heartbeat-interval": "LEFTFOLD_HEARTBEAT_INTERVAL",
	"heartbeat-timeout":  "LEFTFOLD_HEARTBEAT_TIMEOUT",
}

func newRuntime() *cobra.Command {
	var p pod
	cmd := &cobra.Command{
		Use:   "runtime",
		Short: "Serve a Runtime's shards as one of its pods",
		Long: `Serve as a pod of a Runtime. The operator starts it; people have no need to.

It serves the definitions of its Runtime as the API server has them, and the
shards that the operator grants. Asked to end (SIGTERM), it hands them off first.
It writes nothing to Kubernetes. A flag that names a variable takes its value from
there when it is not given.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := p.complete(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			return refused(p.run(cmd))
		},
	}
	f := cmd.Flags()
	text := func(target *string, name, value, usage string) {
		if variable := podEnvironment[name]; variable != "" {
			usage += " (" + variable + ")"
		}
		f.StringVar(target, name, value, usage)
	}
	text(&p.namespace, "namespace", "", "the Runtime's namespace")
	text(&p.runtime, "runtime", "", "the Runtime's name")
	text(&p.name, "pod", "", "the pod's name")
	text(&p.uid, "pod-uid", "", "the pod's UID, by which the operator knows it")
	text(&p.ip, "pod-ip", "", "the pod's address, where others reach it")
	text(&p.node, "node", "", "the node's name")
	text(&p.store, "store", "", "the store's postgres:// URL; either this or --data")
	text(&p.schema, "schema", "leftfold", "the store's PostgreSQL schema")
	text(&p.data, "data", "", "folder of the embedded store")
	text(&p.identity, "identity", "/var/run/leftfold/identity", "folder with tls.crt, tls.key and ca.crt")
	text(&p.listen, "listen", ":8080", "where to serve the API")
	text(&p.ops, "ops-listen", ":8081", "where to serve health and metrics")
	text(&p.rpc, "rpc-listen", ":8082", "where to serve the operator and other pods")
	text(&p.kubeconfig, "kubeconfig", "", "how to reach the API server, outside of a cluster")
	text(&p.logLevel, "log-level", "info", "debug, info, warn or error")
	f.DurationVar(&p.interval, "heartbeat-interval", 200*time.Millisecond, "how often the pod says that it lives (LEFTFOLD_HEARTBEAT_INTERVAL)")
	f.DurationVar(&p.timeout, "heartbeat-timeout", time.Second, "how long a pod may be silent (LEFTFOLD_HEARTBEAT_TIMEOUT)")
	return cmd
}

// complete takes what was not given from the environment, and says which flag is
// wrong or missing.
func (p *pod) complete(flags *pflag.FlagSet, environment func(string) (string, bool)) error {
	var wrong []error
	flags.VisitAll(func(f *pflag.Flag) {
		variable := podEnvironment[f.Name]
		value, there := environment(variable)
		if variable == "" || f.Changed || !there || value == "" {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", variable, err))
		}
	})
	for _, required := range []struct{ flag, value string }{
		{"namespace", p.namespace}, {"runtime", p.runtime}, {"pod-uid", p.uid},
	} {
		if required.value == "" {
			wrong = append(wrong, missing(required.flag))
		}
	}
	if host, _, err := net.SplitHostPort(p.rpc); err != nil {
		wrong = append(wrong, fmt.Errorf("--rpc-listen: %w", err))
	} else if ip := net.ParseIP(host); p.ip == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		wrong = append(wrong, missing("pod-ip"))
	}
	if (p.store == "") == (p.data == "") {
		wrong = append(wrong, fmt.Errorf("give either --store (%s) or --data (%s)", podEnvironment["store"], podEnvironment["data"]))
	}
	switch {
	case p.interval <= 0:
		wrong = append(wrong, fmt.Errorf("--heartbeat-interval: %s is no interval", p.interval))
	case p.timeout < 2*p.interval:
		wrong = append(wrong, fmt.Errorf("--heartbeat-timeout: %s is less than two intervals of %s", p.timeout, p.interval))
	}
	if err := new(slog.Level).UnmarshalText([]byte(p.logLevel)); err != nil {
		wrong = append(wrong, fmt.Errorf("--log-level: %w", err))
	}
	return oneLine(errors.Join(wrong...))
}

func missing(flag string) error {
	return fmt.Errorf("--%s (%s) is missing", flag, podEnvironment[flag])
}

// oneLine joins what is wrong, for logs of one line a message.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

func (p *pod) run(cmd *cobra.Command) error {
	log := p.logger(cmd)
	source, err := identity.FromFolder(p.identity)
	if err != nil {
		return fmt.Errorf("--identity: %w", err)
	}
	watch, err := definition.NewWatch(definition.WatchConfig{
		Namespace: p.namespace, Runtime: p.runtime, Kubeconfig: p.kubeconfig, Logger: log,
	})
	if err != nil {
		return err
	}
	ended := cmd.Context()
	m, err := server.StartManaged(ended, server.ManagedConfig{
		Namespace: p.namespace, Runtime: p.runtime, PodUID: p.uid, PodIP: p.ip,
		Listen: p.listen, Ops: p.ops, RPC: p.rpc, Identity: source,
		Store: p.store, Schema: p.schema, Data: p.data,
		HeartbeatInterval: p.interval, HeartbeatTimeout: p.timeout, Version: Version, Logger: log,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { watch.Run(ctx, m) })
	end := m.Leave
	select {
	case <-ended.Done():
	case <-m.Failed():
		end = func() error { return errors.Join(errors.New("a listener failed"), m.Stop()) }
	}
	cancel()
	watching.Wait()
	return end()
}

// logger writes JSON, as those who gather the logs of pods read it.
func (p *pod) logger(cmd *cobra.Command) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(p.logLevel)) // complete has seen that it can be
	log := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level})).With("runtime", p.namespace+"/"+p.runtime)
	if p.name != "" {
		log = log.With("pod", p.name)
	}
	if p.node != "" {
		log = log.With("node", p.node)
	}
	slog.SetDefault(log) // for what libraries have to say
	return log
}
