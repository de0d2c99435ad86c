package stage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
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
			state, _ := b.Kubectl(ctx, "get", "leftfold,pods", "-o", "wide") // for the reader of the error
			return fmt.Errorf("%w\n%s", err, state)
		}
	}
	return nil
}

// ServiceURL is the bank's Service, as the host reaches it.
func (b *Bank) ServiceURL(ctx context.Context) (string, error) {
	ip, err := b.Kubectl(ctx, "get", "service", "bank", "-o", "jsonpath={.spec.clusterIP}")
	return "http://" + ip, err
}

// Pod is a runtime pod.
type Pod struct {
	Name, UID, Node, IP, Revision string
	Ready                         bool
	Deleted                       bool
}

// URL is the pod's own API.
func (p Pod) URL() string { return "http://" + p.IP + ":8080" }

// Pods lists the bank's pods by name.
func (b *Bank) Pods(ctx context.Context) ([]Pod, error) {
	text, err := b.Kubectl(ctx, "get", "pods", "-l", "leftfold.io/runtime=bank", "-o", "json")
	if err != nil {
		return nil, err
	}
	var list corev1.PodList
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, err
	}
	var pods []Pod
	for _, p := range list.Items {
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		pods = append(pods, Pod{
			Name: p.Name, UID: string(p.UID), Node: p.Spec.NodeName, IP: p.Status.PodIP,
			Revision: p.Labels["pod-template-hash"], Ready: ready, Deleted: p.DeletionTimestamp != nil,
		})
	}
	return pods, nil
}

// Owners tells which pod the Shard objects name as the owner of each shard.
func (b *Bank) Owners(ctx context.Context) (map[string]string, error) {
	text, err := b.Kubectl(ctx, "get", "shards", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.owner.pod}{"\n"}{end}`)
	if err != nil {
		return nil, err
	}
	owners := map[string]string{}
	for line := range strings.Lines(text) {
		shard, pod, _ := strings.Cut(strings.TrimSpace(line), " ")
		owners[shard] = pod
	}
	return owners, nil
}
