package main

import "strings"

// settings configure the linter for types that are served by
// CustomResourceDefinitions: every analyzer runs but those named here.
var settings = map[string]any{
	"linters": map[string]any{
		"enable": []string{"*"},
		"disable": []string{
			// These five do nothing until a project lists rules of its own.
			"conflictingmarkers", "dependenttags", "forbiddenmarkers", "namingconventions", "preferredmarkers",
			// For types compiled into an API server only.
			"nonpointerstructs",
		},
	},
	"lintersConfig": map[string]any{
		"conditions": map[string]any{
			"isFirstField":     "Ignore",
			"useProtobuf":      "Forbid",
			"usePatchStrategy": "Forbid",
		},
		"defaults": map[string]any{
			"preferredDefaultMarker": "kubebuilder:default",
		},
		"optionalfields": map[string]any{
			"pointers": map[string]any{"preference": "WhenRequired"},
		},
	},
}

// exception excuses what one linter says of some fields.
type exception struct {
	linter string
	// reason says why the findings are not defects here.
	reason string
	// fields are Type.Field, as the linter writes them.
	fields []string
}

var exceptions = []exception{
	{
		linter: "minlength",
		reason: "An empty list or map says what leaving it out says, and manifests are easier to edit when they may say so.",
		fields: []string{
			"AggregateSpec.Types", "AggregateSpec.State", "AggregateSpec.Commands",
			"Command.Fields", "Command.Let", "Command.Reject", "Command.Emit",
			"Emission.Set", "Event.Fields", "Event.Apply",
			"PodOverlay.Labels", "PodOverlay.Annotations", "PodOverlay.NodeSelector", "PodOverlay.Tolerations",
			"PodOverlay.TopologySpreadConstraints", "PodOverlay.Env",
			"RuntimeSpec.Pod", "RuntimeSpec.Resources",
			"EventStoreStatus.Conditions", "RuntimeStatus.Conditions", "AggregateStatus.Conditions",
			"ShardStatus.Conditions", "ProjectionStatus.Conditions",
		},
	},
	{
		linter: "optionalfields",
		reason: "An empty overlay, or empty resources, and none are the same; a pointer would make two of one.",
		fields: []string{"RuntimeSpec.Pod", "RuntimeSpec.Resources"},
	},
	{
		linter: "optionalfields",
		reason: "No generation is 0: they begin at 1, and -1 stands for none.",
		fields: []string{
			"EventStoreStatus.ObservedGeneration", "RuntimeStatus.ObservedGeneration", "AggregateStatus.ObservedGeneration",
			"ShardStatus.ObservedGeneration", "ProjectionStatus.ObservedGeneration",
		},
	},
	{
		linter: "optionalfields",
		reason: "nil says absent more plainly than a struct of zeros, and code has to branch on it.",
		fields: []string{
			"EventStoreSpec.Postgres", "EventStoreSpec.SQLite", "ProjectionSpec.Table", "Emission.ForEach", "Rule.ForEach",
			"ShardStatus.Owner", "ShardStatus.LastFailover",
		},
	},
	{
		linter: "optionalfields",
		reason: "A quantity of 0 is refused by a rule, which the linter does not read.",
		fields: []string{"SQLiteStore.Storage"},
	},
	{
		linter: "optionalfields",
		reason: "false and unset are the same.",
		fields: []string{"Field.Optional", "Column.Indexed", "Column.Optional", "Rule.Delete"},
	},
	{
		linter: "nobools",
		reason: "Each is a property that a thing has or has not, with no third in sight; an enum would make authors write more to say less.",
		fields: []string{"Field.Optional", "Column.Indexed", "Column.Optional", "Rule.Delete"},
	},
	{
		linter: "requiredfields",
		reason: "Always written, 0 included, so that a pointer would add nothing.",
		fields: []string{"ShardSpec.ID", "ShardSpec.Slots", "SlotRange.First", "SlotRange.Last"},
	},
	{
		linter: "requiredfields",
		reason: "A time cannot carry the marker that the linter looks for.",
		fields: []string{"ShardFailover.DetectedTime"},
	},
}

// excuse returns the exception that covers the finding, as the linter, a space
// and the field, or an empty string.
func excuse(f finding) string {
	for _, e := range exceptions {
		for _, field := range e.fields {
			if e.linter == f.linter && strings.HasPrefix(f.message, "field "+field+" ") {
				return e.linter + " " + field
			}
		}
	}
	return ""
}
