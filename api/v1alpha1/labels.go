package v1alpha1

// FieldManager is the name under which the operator writes objects. Fields that
// another manager wrote are not the operator's.
const FieldManager = "leftfold-operator"

// Labels on what the operator makes for a Runtime: pods and all that is around
// them. Selectors use LabelRuntime alone, which no release will change.
const (
	// LabelRuntime names the Runtime that an object belongs to.
	LabelRuntime = Group + "/runtime"
	// LabelAggregate names the Aggregate that a Shard belongs to.
	LabelAggregate = Group + "/aggregate"

	// LabelEventStore names the EventStore that a volume belongs to.
	LabelEventStore = Group + "/eventstore"

	// LabelName is always NameLeftfold.
	LabelName = "app.kubernetes.io/name"
	// LabelComponent is ComponentRuntime on everything of a Runtime, and
	// ComponentStore on the volume of an EventStore.
	LabelComponent = "app.kubernetes.io/component"
	// LabelInstance names the Runtime as well, in Kubernetes' own words.
	LabelInstance = "app.kubernetes.io/instance"
	// LabelManagedBy is FieldManager on everything that the operator made.
	LabelManagedBy = "app.kubernetes.io/managed-by"
)

// Values of labels.
const (
	NameLeftfold     = "leftfold"
	ComponentRuntime = "runtime"
	ComponentStore   = "store"
)

// Annotations.
const (
	// AnnotationStoreDigest stands on a pod template. It changes with the store's
	// connection, so that pods are replaced when that does, and tells nothing of
	// it.
	AnnotationStoreDigest = Group + "/store-digest"
	// AnnotationTakeOverSchema stands on an EventStore. It names the owner that
	// the store's schema says it has, when that owner is known to be gone: the
	// schema then becomes this EventStore's.
	AnnotationTakeOverSchema = Group + "/take-over-schema"
)

// Ports of a runtime pod.
const (
	// PortHTTP takes commands and queries, in plain HTTP.
	PortHTTP = 8080
	// PortOperations answers /livez, /readyz and /metrics.
	PortOperations = 8081
	// PortControl takes calls of the operator and of pods of the same Runtime,
	// over mutual TLS.
	PortControl = 8082
)

// RuntimeLabels are the labels of everything that belongs to a Runtime.
func RuntimeLabels(runtime string) map[string]string {
	return map[string]string{
		LabelName:      NameLeftfold,
		LabelComponent: ComponentRuntime,
		LabelInstance:  runtime,
		LabelManagedBy: FieldManager,
		LabelRuntime:   runtime,
	}
}

// RuntimeSelector selects the pods of a Runtime, and what else belongs to it.
func RuntimeSelector(runtime string) map[string]string {
	return map[string]string{LabelRuntime: runtime}
}

// EventStoreLabels are the labels of the volume of an EventStore.
func EventStoreLabels(store string) map[string]string {
	return map[string]string{
		LabelName:       NameLeftfold,
		LabelComponent:  ComponentStore,
		LabelInstance:   store,
		LabelManagedBy:  FieldManager,
		LabelEventStore: store,
	}
}

// ShardLabels are the labels of a Shard.
func ShardLabels(aggregate, runtime string) map[string]string {
	return map[string]string{
		LabelManagedBy: FieldManager,
		LabelAggregate: aggregate,
		LabelRuntime:   runtime,
	}
}

// IdentitySecretName names the Secret with the certificate of a Runtime's pods.
func IdentitySecretName(runtime string) string { return runtime + "-identity" }

// DataVolumeName names the PersistentVolumeClaim of an EventStore on SQLite.
func DataVolumeName(store string) string { return store + "-data" }
