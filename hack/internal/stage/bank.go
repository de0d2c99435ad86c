package stage

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
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

// AwaitReady waits until all of the bank's objects are Ready.
func (b *Bank) AwaitReady(ctx context.Context, timeout string) error {
	for _, object := range []string{"eventstore/bank", "runtime/bank", "aggregate/account", "projection/balances", "shards"} {
		args := []string{"wait", "--for=condition=Ready", "--timeout=" + timeout}
		if object == "shards" {
			args = append(args, "--all")
		}
		if _, err := b.Kubectl(ctx, append(args, strings.Split(object, " ")...)...); err != nil {
			return fmt.Errorf("%w\n%s", err, b.Describe(ctx))
		}
	}
	return nil
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
	return b.ofShards(ctx, "{.status.owner.pod}")
}

// ofShards reads one field of every Shard.
func (b *Bank) ofShards(ctx context.Context, field string) (map[string]string, error) {
	text, err := b.Kubectl(ctx, "get", "shards", "-o", `jsonpath={range .items[*]}{.metadata.name} `+field+`{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(text) {
		shard, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		values[shard] = value
	}
	return values, nil
}

// Epochs tells how often each shard has been claimed, by its Shard object.
func (b *Bank) Epochs(ctx context.Context) (map[string]string, error) {
	return b.ofShards(ctx, "{.status.epoch}")
}

// Failovers tells of each shard how often it was restarted, and when its last
// failover was. Planned moves change neither.
func (b *Bank) Failovers(ctx context.Context) (map[string]string, error) {
	return b.ofShards(ctx, "{.status.restarts} {.status.lastFailover.detectedTime}")
}

// Scale sets how many pods there should be.
func (b *Bank) Scale(ctx context.Context, replicas int) error {
	_, err := b.Kubectl(ctx, "scale", "runtime", "bank", fmt.Sprintf("--replicas=%d", replicas))
	return err
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
	minutes, err := b.Kubectl(ctx, "get", "aggregate", "account", "-o", "jsonpath={.spec.deduplication.minutes}")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(minutes)
	if err != nil {
		return fmt.Errorf("deduplication.minutes of the account: %w", err)
	}
	_, err = b.Kubectl(ctx, "patch", "aggregate", "account", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"deduplication":{"minutes":%d}}}`, n+1))
	return err
}

// change patches the Runtime such that all pods are replaced, and waits for that.
func (b *Bank) change(ctx context.Context, patch string) error {
	for _, args := range [][]string{
		{"patch", "runtime", "bank", "--type=merge", "-p", patch},
		{"wait", "--for=condition=Reconciling", "runtime/bank", "--timeout=30s"},
		{"rollout", "status", "deployment/bank", "--timeout=120s"},
	} {
		if _, err := b.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}
