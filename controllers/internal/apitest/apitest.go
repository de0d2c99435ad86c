// Package apitest gives tests of controllers a real API server with the
// project's CRDs, and a client that counts what it writes. There are no
// controllers beside it: what a Deployment's pods do, a test says itself.
//
// It is for tests alone.
package apitest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// Server is a real API server.
type Server struct {
	// Config connects to it as an administrator, without a limit of calls.
	Config *rest.Config
	// Client has no cache.
	Client client.WithWatch
	Scheme *runtime.Scheme

	namespaces atomic.Int64
}

// Main runs a package's tests beside an API server, and gives the exit code. ready
// is called with the server before the first test.
func Main(m *testing.M, ready func(*Server)) (code int) {
	log.SetLogger(logr.Discard())
	server, stop, err := start()
	// Also after a start that failed half way, at the schemas for instance.
	defer func() {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
			code = 1
		}
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a real API server; `hack/kube-binaries.sh` builds one, or set KUBEBUILDER_ASSETS:", err)
		return 1
	}
	ready(server)
	return m.Run()
}

func start() (server *Server, stop func() error, err error) {
	nothing := func() error { return nil }
	root, err := repository()
	if err != nil {
		return nil, nothing, err
	}
	programs := os.Getenv("KUBEBUILDER_ASSETS")
	if programs == "" {
		printed, err := exec.CommandContext(context.Background(), filepath.Join(root, "hack", "kube-binaries.sh"), "--print").Output()
		if err != nil {
			return nil, nothing, fmt.Errorf("hack/kube-binaries.sh --print: %w", err)
		}
		programs = strings.TrimSpace(string(printed))
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory: programs,
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths:              []string{filepath.Join(root, "config", "crd", "bases")},
			ErrorIfPathMissing: true,
		},
		// Two busy cores need longer than a developer's machine.
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	// The tests write much and keep nothing.
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	environment.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync", "true")
	config, err := environment.Start()
	if err != nil {
		return nil, environment.Stop, err
	}
	config.QPS = -1 // no limit: the server is the tests' alone
	server = &Server{Config: config, Scheme: runtime.NewScheme()}
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(server.Scheme); err != nil {
			return nil, environment.Stop, err
		}
	}
	server.Client, err = client.NewWithWatch(config, client.Options{Scheme: server.Scheme})
	return server, environment.Stop, err
}

// repository is the folder of go.mod.
func repository() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		above := filepath.Dir(folder)
		if above == folder {
			return "", fmt.Errorf("no go.mod above the tests")
		}
		folder = above
	}
}

// Namespace makes a namespace for one test.
func (s *Server) Namespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("test-%d", s.namespaces.Add(1))}}
	if err := s.Client.Create(t.Context(), namespace); err != nil {
		t.Fatalf("make a namespace: %v", err)
	}
	return namespace.Name
}

// Counted is a client that counts the calls that may write.
type Counted struct {
	client.WithWatch
	writes atomic.Int64
}

// Count makes a counting client.
func (s *Server) Count() *Counted {
	c := &Counted{}
	c.WithWatch = interceptor.NewClient(s.Client, interceptor.Funcs{
		Create: func(ctx context.Context, inner client.WithWatch, object client.Object, options ...client.CreateOption) error {
			c.writes.Add(1)
			return inner.Create(ctx, object, options...)
		},
		Update: func(ctx context.Context, inner client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			c.writes.Add(1)
			return inner.Update(ctx, object, options...)
		},
		Patch: func(ctx context.Context, inner client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			c.writes.Add(1)
			return inner.Patch(ctx, object, patch, options...)
		},
		Apply: func(ctx context.Context, inner client.WithWatch, object runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			c.writes.Add(1)
			return inner.Apply(ctx, object, options...)
		},
		Delete: func(ctx context.Context, inner client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			c.writes.Add(1)
			return inner.Delete(ctx, object, options...)
		},
		SubResourcePatch: func(ctx context.Context, inner client.Client, subresource string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
			c.writes.Add(1)
			return inner.SubResource(subresource).Patch(ctx, object, patch, options...)
		},
	})
	return c
}

// Writes counts the calls since it was last asked.
func (c *Counted) Writes() int64 { return c.writes.Swap(0) }
