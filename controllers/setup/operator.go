package setup

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/aggregate"
	"github.com/leftfold/leftfold/controllers/eventstore"
	"github.com/leftfold/leftfold/controllers/internal/certificate"
	"github.com/leftfold/leftfold/controllers/internal/index"
	"github.com/leftfold/leftfold/controllers/projection"
	"github.com/leftfold/leftfold/controllers/runtime"
	"github.com/leftfold/leftfold/controllers/shard"
)

// Run runs the operator until ctx ends, or the lease is lost.
func Run(ctx context.Context, config *rest.Config, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	handler, err := o.handler()
	if err != nil {
		return err
	}
	log := logr.FromSlogHandler(handler)
	ctrl.SetLogger(log)
	mgr, err := newManager(config, o, log)
	if err != nil {
		return err
	}
	if err := addAll(ctx, mgr, o, log); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// addAll adds what the leader does.
func addAll(ctx context.Context, mgr ctrl.Manager, o Options, log logr.Logger) error {
	if err := index.Add(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	holder := identity.NewHolder()
	keeper := certificate.NewKeeper(certificate.Config{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Namespace: o.Namespace, Holder: holder, Log: log.WithName("certificate"),
	})
	events := mgr.GetEventRecorder(v1alpha1.FieldManager)
	fleet := shard.NewFleet(shard.Config{
		Client: mgr.GetClient(), Cache: mgr.GetCache(), Live: mgr.GetAPIReader(), Identity: holder,
		Lease: leaseOf(o), Zones: len(o.WatchNamespaces) == 0, Events: events, Log: log.WithName("fleet"),
	})
	if err := mgr.Add(keeper); err != nil {
		return fmt.Errorf("add the keeper of certificates: %w", err)
	}
	if err := mgr.Add(fleet); err != nil {
		return fmt.Errorf("add the fleet: %w", err)
	}
	cluster, err := clusterOf(ctx, mgr.GetAPIReader(), log)
	if err != nil {
		return err
	}
	if err := eventstore.SetupWithManager(mgr, eventstore.Options{Cluster: cluster, Events: events}); err != nil {
		return fmt.Errorf("set up the reconciler of EventStores: %w", err)
	}
	runtimes := &runtime.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Certificates: keeper, Views: fleet, Events: events,
		Image: o.RuntimeImage, Role: o.role(),
	}
	if err := runtimes.SetupWithManager(mgr, fleet.Runtimes(), keeper.Changes()); err != nil {
		return fmt.Errorf("set up the reconciler of Runtimes: %w", err)
	}
	for _, r := range []interface {
		SetupWithManager(ctrl.Manager) error
	}{
		&aggregate.Reconciler{Client: mgr.GetClient(), Views: fleet, Events: events},
		&projection.Reconciler{Client: mgr.GetClient(), Views: fleet, Events: events},
		&shard.Reconciler{Client: mgr.GetClient(), Views: fleet},
	} {
		if err := r.SetupWithManager(mgr); err != nil {
			return err
		}
	}
	return nil
}

// anyCluster stands for the cluster where the operator may not read which it is.
const anyCluster = "cluster"

// clusterOf reads which cluster this is. An administrator may have left out the
// right to: then stores cannot tell two clusters from each other that have an
// EventStore of the same namespace and name.
func clusterOf(ctx context.Context, reader client.Reader, log logr.Logger) (string, error) {
	cluster, err := eventstore.Cluster(ctx, reader)
	if apierrors.IsForbidden(err) {
		log.Info("stores cannot be told which cluster they belong to; another cluster with an EventStore of the same namespace and name would share its schema", "reason", err.Error())
		return anyCluster, nil
	}
	return cluster, err
}

func leaseOf(o Options) client.ObjectKey {
	if !o.LeaderElection {
		return client.ObjectKey{}
	}
	return client.ObjectKey{Namespace: o.Namespace, Name: LeaseName}
}
