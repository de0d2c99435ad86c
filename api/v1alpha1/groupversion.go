package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind.
const Group = "leftfold.io"

// Version is the version of the kinds in this package.
const Version = "v1alpha1"

// The kinds, as they stand in manifests.
const (
	KindEventStore = "EventStore"
	KindRuntime    = "Runtime"
	KindAggregate  = "Aggregate"
	KindShard      = "Shard"
	KindProjection = "Projection"
)

// GroupVersion is Group and Version together.
var GroupVersion = schema.GroupVersion{Group: Group, Version: Version}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers the five kinds and their lists with a scheme.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&EventStore{}, &EventStoreList{},
		&Runtime{}, &RuntimeList{},
		&Aggregate{}, &AggregateList{},
		&Shard{}, &ShardList{},
		&Projection{}, &ProjectionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
