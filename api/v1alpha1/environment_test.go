package v1alpha1_test

import (
	"context"
	"errors"
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
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// namespace is where the tests put their objects.
const namespace = "default"

var (
	// cluster talks to a real API server that serves config/crd.
	cluster client.Client
	// restConfig is for calls that the client has no method for.
	restConfig *rest.Config
)

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	os.Exit(runWithAPIServer(m))
}

func runWithAPIServer(m *testing.M) int {
	programs, err := programFolder()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
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
	// The tests write much and keep nothing.
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	environment.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync", "true")
	// Also after a start that failed half way, at the schemas for instance.
	defer func() {
		if err := environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
		}
	}()
	restConfig, err = environment.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the API server:", err)
		return 1
	}
	restConfig.QPS = -1 // no limit: the server is ours alone
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cluster, err = client.New(restConfig, client.Options{Scheme: scheme})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if code != 0 || flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.skip").Value.String() != "" {
		return code
	}
	return everyRuleSpoke()
}

// everyRuleSpoke fails a whole run in which a rule or limit of the schemas
// refused nothing.
func everyRuleSpoke() int {
	silent, err := unspoken()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, words := range silent {
		fmt.Fprintln(os.Stderr, words)
	}
	if len(silent) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: %d rules of the schemas have no case that breaks them\n", len(silent))
		return 1
	}
	return 0
}

// programFolder returns the folder with kube-apiserver and etcd, or an error
// that says how to build them: without them nothing here would be tested.
func programFolder() (string, error) {
	folder := os.Getenv("KUBEBUILDER_ASSETS")
	if folder == "" {
		printed, err := exec.CommandContext(context.Background(), filepath.Join("..", "..", "hack", "kube-binaries.sh"), "--print").Output()
		if err != nil {
			return "", fmt.Errorf("hack/kube-binaries.sh --print: %w", err)
		}
		folder = strings.TrimSpace(string(printed))
	}
	var missing []error
	for _, program := range []string{"kube-apiserver", "etcd"} {
		if _, err := os.Stat(filepath.Join(folder, program)); err != nil {
			missing = append(missing, err)
		}
	}
	if missing != nil {
		return "", fmt.Errorf("these tests need a real API server; build it once with `hack/kube-binaries.sh`, or set KUBEBUILDER_ASSETS: %w", errors.Join(missing...))
	}
	return folder, nil
}
