// Package stage sets Leftfold up on a real Kubernetes cluster as a user would: a
// cluster of its own, images, a PostgreSQL outside of the cluster, the chart. The
// end-to-end tests and the cluster demo stand on it.
//
// It installs with kubectl and helm, since users do, and reaches below Kubernetes only
// to do damage: to kill processes, freeze them, and cut nodes off. What is asked again
// and again is asked by a client of its own: a kubectl that starts takes a fifth of a
// second of a processor from what is measured. It holds no test of its own.
package stage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
	"github.com/leftfold/leftfold/hack/internal/cluster"
	"github.com/leftfold/leftfold/hack/internal/image"
)

// Namespace is where the operator runs.
const Namespace = "leftfold-system"

// Stage is a cluster with the operator installed.
type Stage struct {
	Cluster  *cluster.Cluster
	Postgres *pgtest.Server
	root     string
	programs string
	api      client.Client
	core     kubernetes.Interface
	log      io.Writer
	keep     bool
	// ungroup undoes what was done for the processes beside the cluster.
	ungroup []func() error
}

// Options say how to raise a stage.
type Options struct {
	// Root is the repository.
	Root string
	// Nodes is how many nodes the cluster has; default 3.
	Nodes int
	// Log is told what is being done.
	Log io.Writer
	// Yielding is that of cluster.Options: for a stage on which times are judged. Where
	// a load takes all processors, containers are started late on it, or never.
	Yielding bool
}

// Raise starts a cluster, unless the local one runs already (then it is left
// running at the end, too), and installs what the repository holds now.
func Raise(ctx context.Context, o Options) (*Stage, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	s := &Stage{root: o.Root, log: o.Log}
	running, err := cluster.Attach("")
	s.keep = err == nil && running != nil
	if s.Cluster, err = cluster.Up(ctx, cluster.Options{Nodes: o.Nodes, Log: o.Log, Yielding: o.Yielding}); err != nil {
		return nil, fmt.Errorf("start the cluster: %w", err)
	}
	if err := s.install(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

func (s *Stage) install(ctx context.Context) error {
	programs, err := s.run(ctx, "", "hack/kube-binaries.sh", "--print")
	if err != nil {
		return err
	}
	s.programs = strings.TrimSpace(programs)
	if err := s.connect(); err != nil {
		return err
	}
	if _, err := s.run(ctx, "", "hack/deploy.sh"); err != nil {
		return err
	}
	networks := []string{}
	for _, subnet := range s.networks() {
		networks = append(networks, subnet.String())
	}
	if s.Postgres, err = pgtest.LaunchAt(s.Cluster.HostAddress(), networks); err != nil {
		return err
	}
	groups, remove, err := cluster.Beside("database")
	if err != nil {
		return err
	}
	s.ungroup = append(s.ungroup, remove)
	if err := s.Postgres.Join(groups...); err != nil {
		return err
	}
	back, err := cluster.StepBeside("callers")
	if err != nil {
		return err
	}
	s.ungroup = append(s.ungroup, back)
	return nil
}

// FaultyImage builds the runtime that makes a part of itself fail when it is asked
// to, loads it into the cluster, and gives the image's name.
func (s *Stage) FaultyImage(ctx context.Context) (string, error) {
	const name = "leftfold-faulty:dev"
	folder, err := os.MkdirTemp("", "leftfold-faulty-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary, archive := filepath.Join(folder, "leftfold"), filepath.Join(folder, "leftfold.tar")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-tags", "faults", "-o", binary, "./runtime")
	build.Dir = s.root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the runtime with faults: %w: %s", err, out)
	}
	if err := image.Write(archive, name, binary); err != nil {
		return "", err
	}
	return name, s.Cluster.Load(ctx, archive)
}

// networks are those from which pods and nodes connect.
func (s *Stage) networks() []netip.Prefix { return s.Cluster.Networks() }

// Close takes down what Raise put up.
func (s *Stage) Close(ctx context.Context) error {
	var errs []error
	if s.Postgres != nil {
		errs = append(errs, s.Postgres.Stop())
	}
	for _, undo := range slices.Backward(s.ungroup) {
		errs = append(errs, undo())
	}
	if !s.keep && s.Cluster != nil {
		errs = append(errs, s.Cluster.Down(ctx))
	}
	return errors.Join(errs...)
}

// Kubectl runs kubectl and gives what it printed. The error holds what it
// complained about.
func (s *Stage) Kubectl(ctx context.Context, args ...string) (string, error) {
	return s.run(ctx, "", filepath.Join(s.programs, "kubectl"), args...)
}

// Apply gives manifests to kubectl apply.
func (s *Stage) Apply(ctx context.Context, namespace, manifests string) (string, error) {
	return s.run(ctx, manifests, filepath.Join(s.programs, "kubectl"), "apply", "-n", namespace, "-f", "-")
}

// Helm runs helm.
func (s *Stage) Helm(ctx context.Context, args ...string) (string, error) {
	return s.run(ctx, "", "hack/chart-helm.sh", args...)
}

func (s *Stage) run(ctx context.Context, stdin, program string, args ...string) (string, error) {
	if strings.HasPrefix(program, "hack/") {
		program = filepath.Join(s.root, program)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Cluster.Kubeconfig())
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaints strings.Builder
	cmd.Stdout = &out
	cmd.Stderr = &complaints
	if filepath.Ext(program) == ".sh" && s.log != nil {
		cmd.Stderr = io.MultiWriter(&complaints, s.log)
	}
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s%s", filepath.Base(program), strings.Join(args, " "), err, complaints.String(), out.String())
	}
	return out.String(), nil
}
