package runtime

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// update writes testdata anew: go test ./controllers/runtime -update
var update = flag.Bool("update", false, "write the expected objects of testdata anew")

func TestObjectsOfARuntime(t *testing.T) {
	for _, c := range []struct {
		name string
		file string
		plan func() *plan
	}{
		{"a Runtime on PostgreSQL that says no more than it has to", "postgres.yaml", newPlan},
		{"a Runtime on SQLite has one pod at a time, and a volume", "sqlite.yaml", func() *plan {
			p := newPlan()
			p.store.Spec = v1alpha1.EventStoreSpec{SQLite: &v1alpha1.SQLiteStore{}}
			p.storeDigest = ""
			return p
		}},
		{"the overlay is laid over the pods, and the operator's labels win", "overlay.yaml", func() *plan {
			p := newPlan()
			p.runtime.Spec.Replicas = new(int32(5))
			p.runtime.Spec.Image = "leftfold:other"
			p.runtime.Spec.Failover = v1alpha1.Failover{HeartbeatIntervalMilliseconds: 50, HeartbeatTimeoutMilliseconds: 300}
			p.runtime.Spec.Resources = resources()
			p.runtime.Spec.Pod = overlay()
			return p
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.plan()
			deployment, err := p.deployment()
			if err != nil {
				t.Fatal(err)
			}
			secret := identitySecret(p.runtime, map[string][]byte{"tls.crt": []byte("certificate"), "tls.key": []byte("key"), "ca.crt": []byte("authorities")})
			var got bytes.Buffer
			for _, object := range []any{p.serviceAccount(), p.roleBinding(), secret, p.service(), p.disruptionBudget(), deployment} {
				text, err := yaml.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("---\n")
				got.Write(text)
			}
			file := filepath.Join("testdata", c.file)
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s differs (-want +got); -update writes it anew:\n%s", file, diff)
			}
		})
	}
}

func newPlan() *plan {
	return &plan{
		runtime: &v1alpha1.Runtime{
			ObjectMeta: metav1.ObjectMeta{Namespace: "money", Name: "bank", UID: "0b8f"},
			Spec:       v1alpha1.RuntimeSpec{StoreRef: v1alpha1.LocalReference{Name: "ledger"}},
		},
		store: &v1alpha1.EventStore{
			ObjectMeta: metav1.ObjectMeta{Namespace: "money", Name: "ledger"},
			Spec: v1alpha1.EventStoreSpec{Postgres: &v1alpha1.PostgresStore{
				ConnectionSecretRef: v1alpha1.SecretKeyReference{Name: "ledger-db", Key: "uri"}, Schema: "leftfold",
			}},
		},
		image: "leftfold:1", role: Role{Kind: "ClusterRole", Name: "leftfold-runtime"}, storeDigest: "d1935",
	}
}

func resources() v1alpha1.Resources {
	return v1alpha1.Resources{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("0.5"), corev1.ResourceMemory: resource.MustParse("256Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1024Mi")},
	}
}

// overlay is one with every field.
func overlay() v1alpha1.PodOverlay {
	return v1alpha1.PodOverlay{
		Labels:       map[string]string{"team": "ledger", v1alpha1.LabelRuntime: "another"},
		Annotations:  map[string]string{"note": "mine", v1alpha1.AnnotationStoreDigest: "mine"},
		NodeSelector: map[string]string{"disk": "fast"},
		Tolerations:  []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
		Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey:   corev1.LabelHostname,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "ledger"}},
			}},
		}},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
			{TopologyKey: corev1.LabelTopologyZone, MaxSkew: 2, WhenUnsatisfiable: corev1.DoNotSchedule},
			{
				TopologyKey: corev1.LabelHostname, MaxSkew: 1, WhenUnsatisfiable: corev1.ScheduleAnyway,
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "ledger"}},
			},
		},
		Env: []corev1.EnvVar{
			{Name: "GOMEMLIMIT", Value: "900MiB"},
			{Name: "ZONE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['zone']"}}},
		},
		ServiceAccountName: "ledger",
		PriorityClassName:  "high",
	}
}
