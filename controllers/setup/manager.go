package setup

import (
	"fmt"
	"time"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// LeaseName is the operator's lease, in its own namespace.
const LeaseName = "leftfold-operator"

// The election: a leader that dies is replaced within the lease and a retry. The
// API server must answer a leader within the renewal's deadline.
const (
	lease = 5 * time.Second
	renew = 3 * time.Second
	retry = time.Second
)

const (
	// stopTimeout is what reconciles under way get at the end.
	stopTimeout = 5 * time.Second
	// Calls a second to the API server, and at once: statuses of shards follow a
	// failover, and must not hold up reconcilers.
	callsPerSecond, callsAtOnce = 100, 200
)

// scheme knows the kinds that the operator reads and writes.
func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// newManager makes the manager, without reconcilers.
func newManager(config *rest.Config, o Options, log logr.Logger) (ctrl.Manager, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = callsPerSecond, callsAtOnce
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme(), Logger: log, Cache: cacheOptions(o), Metrics: metricsOptions(o),
		// Secrets are read where they are needed, and kept nowhere.
		Client:                 client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
		HealthProbeBindAddress: o.HealthAddress, LivenessEndpointName: "/livez", ReadinessEndpointName: "/readyz",
		LeaderElection: o.LeaderElection, LeaderElectionID: LeaseName, LeaderElectionNamespace: o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 new(lease), RenewDeadline: new(renew), RetryPeriod: new(retry),
		GracefulShutdownTimeout: new(stopTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("make the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}

// cacheOptions bounds what is kept of pods and ReplicaSets, of which a cluster has
// many. Of the other kinds all are seen, so that one of the name that somebody
// else made is.
func cacheOptions(o Options) cache.Options {
	ofRuntimes := labels.NewSelector()
	if exists, err := labels.NewRequirement(v1alpha1.LabelRuntime, selection.Exists, nil); err == nil {
		ofRuntimes = ofRuntimes.Add(*exists)
	}
	options := cache.Options{
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}: {Label: ofRuntimes},
			replicaSets(): {Label: ofRuntimes},
		},
	}
	if len(o.WatchNamespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range o.WatchNamespaces {
			options.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	return options
}

// replicaSets are read without their content: their revision is an annotation.
func replicaSets() client.Object {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "ReplicaSet"}}
}

func metricsOptions(o Options) metricsserver.Options {
	options := metricsserver.Options{BindAddress: o.MetricsAddress, SecureServing: true}
	if o.MetricsAuthentication {
		options.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	return options
}
