package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Bank is the bank sample, applied to a namespace.
type Bank struct {
	*Stage
	Namespace string
}

// Database makes a database on the server outside of the cluster and gives a URL
// that pods can use.
func (s *Stage) Database(ctx context.Context, name string) (string, error) {
	name = strings.ReplaceAll(name, "-", "_")
	conn, err := pgx.Connect(ctx, s.Postgres.SuperuserURL())
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	quoted := pgx.Identifier{name}.Sanitize()
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + quoted + " WITH (FORCE)",
		"CREATE DATABASE " + quoted + " OWNER leftfold",
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", fmt.Errorf("make database %s: %w", name, err)
		}
	}
	url := s.Postgres.URL()
	return strings.Replace(url, "/leftfold?", "/"+name+"?", 1), nil
}

// ApplyBank applies the bank sample on a database of its own to a new namespace.
// It returns as soon as the API server has it.
func (s *Stage) ApplyBank(ctx context.Context, namespace string) (*Bank, error) {
	url, err := s.Database(ctx, namespace)
	if err != nil {
		return nil, err
	}
	if _, err := s.Kubectl(ctx, "create", "namespace", namespace); err != nil {
		return nil, err
	}
	b := &Bank{Stage: s, Namespace: namespace}
	if _, err := b.Kubectl(ctx, "create", "secret", "generic", "bank-db", "--from-literal=uri="+url); err != nil {
		return nil, err
	}
	_, err = b.Kubectl(ctx, "apply", "-k", "config/samples/bank")
	return b, err
}

// Kubectl runs kubectl in the bank's namespace.
func (b *Bank) Kubectl(ctx context.Context, args ...string) (string, error) {
	return b.Stage.Kubectl(ctx, append([]string{"-n", b.Namespace}, args...)...)
}

// AwaitReady waits until all of the bank's objects are Ready and its Service takes
// connections: each node's proxy hears of its endpoints in its own time.
func (b *Bank) AwaitReady(ctx context.Context, patience time.Duration) error {
	if err := Await(ctx, patience, b.unready); err != nil {
		return fmt.Errorf("%w\n%s", err, b.Describe(context.WithoutCancel(ctx)))
	}
	return nil
}

func (b *Bank) unready(ctx context.Context) error {
	var store v1alpha1.EventStore
	var runtime v1alpha1.Runtime
	var account v1alpha1.Aggregate
	var balances v1alpha1.Projection
	for _, o := range []struct {
		kind, name string
		into       client.Object
		conditions *[]metav1.Condition
	}{
		{"EventStore", "bank", &store, &store.Status.Conditions},
		{"Runtime", "bank", &runtime, &runtime.Status.Conditions},
		{"Aggregate", "account", &account, &account.Status.Conditions},
		{"Projection", "balances", &balances, &balances.Status.Conditions},
	} {
		if err := b.get(ctx, o.name, o.into); err != nil {
			return err
		}
		if err := unless(o.kind, o.into, *o.conditions, v1alpha1.ConditionReady); err != nil {
			return err
		}
	}
	shards, err := b.shards(ctx)
	if err != nil {
		return err
	}
	if len(shards) == 0 {
		return errors.New("there are no shards")
	}
	for i := range shards {
		if err := unless("Shard", &shards[i], shards[i].Status.Conditions, v1alpha1.ConditionReady); err != nil {
			return err
		}
	}
	return b.unreachable(ctx)
}

// unreachable tells why the bank's Service cannot be connected to.
func (b *Bank) unreachable(ctx context.Context) error {
	service, err := b.core.CoreV1().Services(b.Namespace).Get(ctx, "bank", metav1.GetOptions{})
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(int(service.Spec.Ports[0].Port))))
	if err != nil {
		return err
	}
	return conn.Close()
}

// get reads an object of the bank's.
func (b *Bank) get(ctx context.Context, name string, into client.Object) error {
	return b.api.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: name}, into)
}

func (b *Bank) shards(ctx context.Context) ([]v1alpha1.Shard, error) {
	var list v1alpha1.ShardList
	err := b.api.List(ctx, &list, client.InNamespace(b.Namespace))
	return list.Items, err
}

// Describe is for the reader of an error: what Kubernetes has of the bank, what each
// pod says it serves, and what the operators said last.
func (b *Bank) Describe(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var text strings.Builder
	tell := func(out string, err error) {
		text.WriteString(out)
		if err != nil {
			fmt.Fprintln(&text, err)
		}
	}
	tell(b.Kubectl(ctx, "get", "leftfold,pods", "-o", "wide"))
	pods, err := b.Pods(ctx)
	tell("", err)
	for _, p := range pods {
		out, err := b.run(ctx, "", filepath.Join(b.root, "bin", "leftfold"), "shards", "--server", p.URL())
		tell(p.Name+" says:\n"+out, err)
	}
	tell(b.Stage.Kubectl(ctx, "logs", "-n", Namespace, "-l", operatorPods, "--prefix", "--tail=60"))
	return text.String()
}

// ServiceURL is the bank's Service, as the host reaches it.
func (b *Bank) ServiceURL(ctx context.Context) (string, error) {
	ip, err := b.Kubectl(ctx, "get", "service", "bank", "-o", "jsonpath={.spec.clusterIP}")
	return "http://" + ip, err
}

// Pods lists the bank's pods by name.
func (b *Bank) Pods(ctx context.Context) ([]Pod, error) {
	return b.pods(ctx, b.Namespace, "leftfold.io/runtime=bank")
}

// Roll has all pods replaced, as a change of their template does, and waits until
// that is done.
func (b *Bank) Roll(ctx context.Context) error {
	return b.change(ctx, fmt.Sprintf(`{"spec":{"pod":{"annotations":{"rolled":"%d"}}}}`, time.Now().UnixNano()))
}

// Owners tells which pod the Shard objects name as the owner of each shard.
func (b *Bank) Owners(ctx context.Context) (map[string]string, error) {
	return b.ofShards(ctx, func(s *v1alpha1.ShardStatus) string {
		if s.Owner == nil {
			return ""
		}
		return s.Owner.Pod
	})
}

// ofShards reads something of every Shard.
func (b *Bank) ofShards(ctx context.Context, what func(*v1alpha1.ShardStatus) string) (map[string]string, error) {
	shards, err := b.shards(ctx)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for i := range shards {
		values[shards[i].Name] = what(&shards[i].Status)
	}
	return values, nil
}

// Epochs tells how often each shard has been claimed, by its Shard object.
func (b *Bank) Epochs(ctx context.Context) (map[string]string, error) {
	return b.ofShards(ctx, func(s *v1alpha1.ShardStatus) string { return fmt.Sprint(ptr.Deref(s.Epoch, 0)) })
}

// Failovers tells of each shard how often it was restarted, and when its last
// failover was. Planned moves change neither.
func (b *Bank) Failovers(ctx context.Context) (map[string]string, error) {
	return b.ofShards(ctx, func(s *v1alpha1.ShardStatus) string {
		last := ""
		if s.LastFailover != nil {
			last = s.LastFailover.DetectedTime.String()
		}
		return fmt.Sprint(ptr.Deref(s.Restarts, 0), " ", last)
	})
}

// Scale sets how many pods there should be.
func (b *Bank) Scale(ctx context.Context, replicas int) error {
	return b.patch(ctx, &v1alpha1.Runtime{}, "bank", fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// UseImage has the pods run another image, or with none the operator's choice, and
// waits until they do.
func (b *Bank) UseImage(ctx context.Context, image string) error {
	value := "null"
	if image != "" {
		value = strconv.Quote(image)
	}
	return b.change(ctx, fmt.Sprintf(`{"spec":{"image":%s}}`, value))
}

// Amend changes the aggregate in something that its events do not depend on.
func (b *Bank) Amend(ctx context.Context) error {
	var account v1alpha1.Aggregate
	if err := b.get(ctx, "account", &account); err != nil {
		return err
	}
	return b.patch(ctx, &account, "account", fmt.Sprintf(`{"spec":{"deduplication":{"minutes":%d}}}`, account.Spec.Deduplication.Minutes+1))
}

// patch changes an object of the bank's, of the kind that is given.
func (b *Bank) patch(ctx context.Context, kind client.Object, name, change string) error {
	kind.SetNamespace(b.Namespace)
	kind.SetName(name)
	return b.api.Patch(ctx, kind, client.RawPatch(types.MergePatchType, []byte(change)))
}

// change patches the Runtime such that all pods are replaced, and waits for that.
func (b *Bank) change(ctx context.Context, patch string) error {
	var runtime v1alpha1.Runtime
	if err := b.patch(ctx, &runtime, "bank", patch); err != nil {
		return err
	}
	before := runtime.Generation
	return Await(ctx, 2*time.Minute, func(ctx context.Context) error {
		if err := b.get(ctx, "bank", &runtime); err != nil {
			return err
		}
		if runtime.Status.ObservedGeneration < before {
			return fmt.Errorf("the operator has not seen generation %d of the Runtime", before)
		}
		return b.unrolled(ctx)
	})
}

// unrolled tells what the Deployment's rollout has still to do.
func (b *Bank) unrolled(ctx context.Context) error {
	d, err := b.core.AppsV1().Deployments(b.Namespace).Get(ctx, "bank", metav1.GetOptions{})
	if err != nil {
		return err
	}
	want := ptr.Deref(d.Spec.Replicas, 1)
	if d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < want || d.Status.Replicas > want || d.Status.AvailableReplicas < want {
		return fmt.Errorf("the Deployment, generation %d of %d, has %d pods, %d new and %d available, of %d",
			d.Status.ObservedGeneration, d.Generation, d.Status.Replicas, d.Status.UpdatedReplicas, d.Status.AvailableReplicas, want)
	}
	return nil
}
