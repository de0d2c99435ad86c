package main

import (
	"bytes"
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
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// repository is the root of the tree, seen from this package's folder.
const repository = "../.."

var (
	// cluster talks to a real API server without controllers or nodes. It
	// refuses fields that the server does not know.
	cluster    client.Client
	restConfig *rest.Config
	// helmProgram and kubectlProgram are the pinned ones, or the machine's kubectl.
	helmProgram, kubectlProgram string
	// home holds the kubeconfig and what helm keeps for itself.
	home string
)

func TestMain(m *testing.M) {
	flag.Parse()
	log.SetLogger(logr.Discard())
	code, err := runWithAPIServer(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runWithAPIServer(m *testing.M) (code int, err error) {
	var folder string
	if helmProgram, err = script("chart-helm.sh", "--path"); err != nil {
		return 1, err
	}
	if folder, err = script("kube-binaries.sh", "kubectl"); err != nil {
		return 1, err
	}
	kubectlProgram = filepath.Join(folder, "kubectl")
	if folder, err = script("kube-binaries.sh", "kube-apiserver", "etcd"); err != nil {
		return 1, err
	}
	if home, err = os.MkdirTemp("", "leftfold-chart-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(home)
	environment := &envtest.Environment{
		BinaryAssetsDirectory: folder,
		CRDInstallOptions:     envtest.CRDInstallOptions{Paths: []string{"testdata/crds"}, ErrorIfPathMissing: true},
		// Two busy cores need longer than a developer's machine.
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	// The tests write much and keep nothing.
	environment.ControlPlane.Etcd = &envtest.Etcd{}
	environment.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync", "true")
	// Also after a start that failed half way.
	defer func() { err = errors.Join(err, environment.Stop()) }()
	if restConfig, err = environment.Start(); err != nil {
		return 1, fmt.Errorf("start the API server: %w", err)
	}
	restConfig.QPS = -1 // no limit: the server is ours alone
	if err := os.WriteFile(filepath.Join(home, "kubeconfig"), environment.KubeConfig, 0o600); err != nil {
		return 1, err
	}
	lenient, err := client.New(restConfig, client.Options{})
	if err != nil {
		return 1, err
	}
	cluster = client.WithFieldValidation(lenient, metav1.FieldValidationStrict)
	return m.Run(), nil
}

// script runs one of hack/, which builds what is missing, and returns what it prints.
func script(name string, args ...string) (string, error) {
	command := exec.CommandContext(context.Background(), filepath.Join(repository, "hack", name), args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("hack/%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// run runs a program in the root of the tree against the API server, and
// returns both of its outputs.
func run(t *testing.T, program string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	// Clean-up runs programs too, when the test's own context is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = repository
	command.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(home, "kubeconfig"),
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var out, messages bytes.Buffer
	command.Stdout, command.Stderr = &out, &messages
	err = command.Run()
	return out.String(), messages.String(), err
}

func helm(t *testing.T, args ...string) string {
	t.Helper()
	out, messages, err := run(t, helmProgram, args...)
	if err != nil {
		t.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, messages)
	}
	return out
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, messages, err := run(t, kubectlProgram, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, messages)
	}
	return out
}

// needNamespace makes sure that there is a namespace which takes only pods that
// keep to the restricted profile.
func needNamespace(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := cluster.Create(t.Context(), namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}
