package v1alpha1_test

import (
	"fmt"
	"testing"
)

func TestRuntimeRules(t *testing.T) {
	checkRules(t, []rule{
		{
			name:     "the name of a Runtime has at most 63 characters",
			manifest: runtimeManifest,
			accepted: []change{set("metadata.name", text(63))},
			refused:  []change{set("metadata.name", text(64))},
			says:     []string{"metadata.name of a Runtime", "63 characters"},
		},
		{
			name:     "the name of a Runtime is that of a Service",
			manifest: runtimeManifest,
			accepted: []change{set("metadata.name", "b-2")},
			refused:  []change{set("metadata.name", "b.2")},
			says:     []string{"metadata.name of a Runtime", "no dots"},
		},
		{
			name:     "a store is named",
			manifest: runtimeManifest,
			refused:  []change{drop("spec.storeRef")},
			says:     []string{"spec.storeRef: Required value"},
		},
		{
			name:     "the name of the store is not empty",
			manifest: runtimeManifest,
			accepted: []change{set("spec.storeRef.name", "b")},
			refused:  []change{set("spec.storeRef.name", `""`)},
			says:     []string{"spec.storeRef.name", "at least 1 chars"},
		},
		{
			name:     "the name of the store has at most 253 characters",
			manifest: runtimeManifest,
			accepted: []change{set("spec.storeRef.name", text(253))},
			refused:  []change{set("spec.storeRef.name", text(254))},
			says:     []string{"spec.storeRef.name", "253"},
		},
		{
			name:     "there may be no pods, but not fewer",
			manifest: runtimeManifest,
			accepted: []change{set("spec.replicas", "0")},
			refused:  []change{set("spec.replicas", "-1")},
			says:     []string{"spec.replicas", "greater than or equal to 0"},
		},
		{
			name:     "there are at most 1,000 pods",
			manifest: runtimeManifest,
			accepted: []change{set("spec.replicas", "1000")},
			refused:  []change{set("spec.replicas", "1001")},
			says:     []string{"spec.replicas", "less than or equal to 1000"},
		},
		{
			name:     "replicas may be left out, for an autoscaler",
			manifest: runtimeManifest,
			accepted: []change{drop("spec.replicas")},
			refused:  []change{set("spec.replicas", "many")},
			says:     []string{"spec.replicas"},
		},
		{
			name:     "an image has no blanks",
			manifest: runtimeManifest,
			accepted: []change{set("spec.image", "registry.example:5000/leftfold@sha256:"+text(64))},
			refused:  []change{set("spec.image", "left fold")},
			says:     []string{"spec.image", "should match"},
		},
		{
			name:     "an image is not empty",
			manifest: runtimeManifest,
			accepted: []change{set("spec.image", "i")},
			refused:  []change{set("spec.image", `""`)},
			says:     []string{"spec.image", "at least 1 chars"},
		},
		{
			name:     "an image has at most 1,024 characters",
			manifest: runtimeManifest,
			accepted: []change{set("spec.image", text(1024))},
			refused:  []change{set("spec.image", text(1025))},
			says:     []string{"spec.image", "1024"},
		},
		{
			name:     "the heartbeat timeout is at least twice the interval",
			manifest: runtimeManifest,
			accepted: []change{set("spec.failover", "{heartbeatIntervalMilliseconds: 500, heartbeatTimeoutMilliseconds: 1000}")},
			refused:  []change{set("spec.failover", "{heartbeatIntervalMilliseconds: 501, heartbeatTimeoutMilliseconds: 1000}")},
			says:     []string{"spec.failover", "heartbeatTimeoutMilliseconds must be at least twice heartbeatIntervalMilliseconds"},
		},
		{
			name:     "the rule on heartbeats counts defaults in",
			manifest: runtimeManifest,
			accepted: []change{set("spec.failover", "{heartbeatTimeoutMilliseconds: 400}")},
			refused:  []change{set("spec.failover", "{heartbeatTimeoutMilliseconds: 399}")},
			says:     []string{"spec.failover", "heartbeatTimeoutMilliseconds must be at least twice heartbeatIntervalMilliseconds"},
		},
		{
			name:     "heartbeats are at least 20 ms apart",
			manifest: runtimeManifest,
			accepted: []change{set("spec.failover.heartbeatIntervalMilliseconds", "20")},
			refused:  []change{set("spec.failover.heartbeatIntervalMilliseconds", "19")},
			says:     []string{"spec.failover.heartbeatIntervalMilliseconds", "greater than or equal to 20"},
		},
		{
			name:     "heartbeats are at most a minute apart",
			manifest: runtimeManifest,
			accepted: []change{set("spec.failover", "{heartbeatIntervalMilliseconds: 60000, heartbeatTimeoutMilliseconds: 600000}")},
			refused:  []change{set("spec.failover", "{heartbeatIntervalMilliseconds: 60001, heartbeatTimeoutMilliseconds: 600000}")},
			says:     []string{"spec.failover.heartbeatIntervalMilliseconds", "less than or equal to 60000"},
		},
		{
			name:     "the heartbeat timeout is at least 100 ms",
			manifest: runtimeManifest,
			accepted: []change{set("spec.failover", "{heartbeatIntervalMilliseconds: 20, heartbeatTimeoutMilliseconds: 100}")},
			refused:  []change{set("spec.failover", "{heartbeatIntervalMilliseconds: 20, heartbeatTimeoutMilliseconds: 99}")},
			says:     []string{"spec.failover.heartbeatTimeoutMilliseconds", "greater than or equal to 100"},
		},
		{
			name:     "the heartbeat timeout is at most ten minutes",
			manifest: runtimeManifest,
			accepted: []change{set("spec.failover.heartbeatTimeoutMilliseconds", "600000")},
			refused:  []change{set("spec.failover.heartbeatTimeoutMilliseconds", "600001")},
			says:     []string{"spec.failover.heartbeatTimeoutMilliseconds", "less than or equal to 600000"},
		},
		{
			name:     "the pod overlay may be empty",
			manifest: runtimeManifest,
			accepted: []change{set("spec.pod", "{}"), set("spec.resources", "{}")},
			refused:  []change{set("spec.pod", "{containers: []}")},
			says:     []string{`unknown field "spec.pod.containers"`},
		},
		{
			name:     "an environment variable is named once",
			manifest: runtimeManifest,
			accepted: []change{set("spec.pod.env", "[{name: A}, {name: B}]")},
			refused:  []change{set("spec.pod.env", "[{name: A}, {name: A}]")},
			says:     []string{"spec.pod.env[1]", "Duplicate value"},
		},
		{
			name:     "environment variables of the operator are not the user's",
			manifest: runtimeManifest,
			accepted: []change{set("spec.pod.env", "[{name: LEFTFOLDED}, {name: MY_LEFTFOLD_}]")},
			refused:  []change{set("spec.pod.env", "[{name: A}, {name: LEFTFOLD_STORE}]")},
			says:     []string{"spec.pod.env", "env[].name must not begin with LEFTFOLD_"},
		},
		{
			name:     "there are at most 128 environment variables",
			manifest: runtimeManifest,
			accepted: []change{repeat("spec.pod.env", 128, variable)},
			refused:  []change{repeat("spec.pod.env", 129, variable)},
			says:     []string{"spec.pod.env", "at most 128 items"},
		},
		{
			name:     "a spread constraint is given once for a topology",
			manifest: runtimeManifest,
			accepted: []change{set("spec.pod.topologySpreadConstraints", "["+spread("zone")+", "+spread("node")+"]")},
			refused:  []change{set("spec.pod.topologySpreadConstraints", "["+spread("zone")+", "+spread("zone")+"]")},
			says:     []string{"spec.pod.topologySpreadConstraints[1]", "Duplicate value"},
		},
		{
			name:     "there are at most 16 spread constraints",
			manifest: runtimeManifest,
			accepted: []change{repeat("spec.pod.topologySpreadConstraints", 16, spreads)},
			refused:  []change{repeat("spec.pod.topologySpreadConstraints", 17, spreads)},
			says:     []string{"spec.pod.topologySpreadConstraints", "at most 16 items"},
		},
		{
			name:     "there are at most 64 tolerations",
			manifest: runtimeManifest,
			accepted: []change{repeat("spec.pod.tolerations", 64, toleration)},
			refused:  []change{repeat("spec.pod.tolerations", 65, toleration)},
			says:     []string{"spec.pod.tolerations", "at most 64 items"},
		},
		{
			name:     "the name of the service account has at most 253 characters",
			manifest: runtimeManifest,
			accepted: []change{set("spec.pod.serviceAccountName", text(253))},
			refused:  []change{set("spec.pod.serviceAccountName", text(254))},
			says:     []string{"spec.pod.serviceAccountName", "253"},
		},
		{
			name:     "the name of the priority class has at most 253 characters",
			manifest: runtimeManifest,
			accepted: []change{set("spec.pod.priorityClassName", text(253))},
			refused:  []change{set("spec.pod.priorityClassName", text(254))},
			says:     []string{"spec.pod.priorityClassName", "253"},
		},
	})

	for field, most := range map[string]int{
		"spec.pod.labels":         64,
		"spec.pod.annotations":    64,
		"spec.pod.nodeSelector":   64,
		"spec.resources.requests": 16,
		"spec.resources.limits":   16,
	} {
		checkRules(t, []rule{{
			name:     fmt.Sprintf("%s has at most %d entries", field, most),
			manifest: runtimeManifest,
			accepted: []change{set(field, entries(most, `"1"`))},
			refused:  []change{set(field, entries(most+1, `"1"`))},
			says:     []string{field, fmt.Sprintf("at most %d", most)},
		}})
	}
}

func variable(i int) string { return fmt.Sprintf("{name: V%d}", i) }

func spread(topology string) string {
	return fmt.Sprintf("{maxSkew: 1, topologyKey: %s, whenUnsatisfiable: ScheduleAnyway}", topology)
}

func spreads(i int) string { return spread(fmt.Sprintf("t%d", i)) }

func toleration(i int) string { return fmt.Sprintf("{key: k%d, operator: Exists}", i) }

// entries writes a map of so many entries, each with the same value.
func entries(count int, value string) string {
	written := "{"
	for i := range count {
		written += fmt.Sprintf("f%d: %s, ", i, value)
	}
	return written + "}"
}
