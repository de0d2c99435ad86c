package eventstore

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

var (
	// cluster talks to a real API server that serves config/crd, without a cache.
	cluster client.Client
	// restConfig is for managers.
	restConfig *rest.Config
	scheme     = runtime.NewScheme()
)

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	os.Exit(runWithAPIServer(m))
}

func runWithAPIServer(m *testing.M) int {
	fail := func(what string, err error) int {
		fmt.Fprintln(os.Stderr, what+":", err)
		return 1
	}
	programs := os.Getenv("KUBEBUILDER_ASSETS")
	if programs == "" {
		printed, err := exec.CommandContext(context.Background(), filepath.Join("..", "..", "hack", "kube-binaries.sh"), "--print").Output()
		if err != nil {
			return fail("hack/kube-binaries.sh --print", err)
		}
		programs = strings.TrimSpace(string(printed))
	}
	environment := &envtest.Environment{
		BinaryAssetsDirectory: programs,
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths:              []string{filepath.Join("..", "..", "config", "crd", "bases")},
			ErrorIfPathMissing: true,
		},
		// Two busy cores need longer than a developer's machine.
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	environment.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync", "true")
	// Also after a start that failed half way, at the schemas for instance.
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
		}
	}()
	var err error
	if restConfig, err = environment.Start(); err != nil {
		return fail("start the API server (`hack/kube-binaries.sh` builds it once)", err)
	}
	restConfig.QPS = -1 // no limit: the server is ours alone
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fail("make the scheme", err)
		}
	}
	if cluster, err = client.New(restConfig, client.Options{Scheme: scheme}); err != nil {
		return fail("make a client", err)
	}
	return m.Run()
}
