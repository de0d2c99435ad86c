package cli_test

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/identity"
)

func TestRuntimeSaysWhichFlagIsWrongOrMissing(t *testing.T) {
	given := []string{"runtime", "--namespace", "default", "--runtime", "bank", "--pod-uid", "u", "--pod-ip", "127.0.0.1", "--data", t.TempDir()}
	for sentence, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing is given": {
			[]string{"runtime"}, []string{"--namespace (LEFTFOLD_NAMESPACE)", "--runtime", "--pod-uid", "--pod-ip", "--store", "--data"},
		},
		"two stores are given":               {append(given, "--store", "postgres://x"), []string{"either --store"}},
		"the timeout is below two pings":     {append(given, "--heartbeat-timeout", "300ms"), []string{"--heartbeat-timeout", "300ms"}},
		"a duration is none":                 {append(given, "--heartbeat-interval", "fast"), []string{"heartbeat-interval", "fast"}},
		"the level of logs is none":          {append(given, "--log-level", "loud"), []string{"--log-level"}},
		"the address for others has no port": {append(given, "--rpc-listen", "here"), []string{"--rpc-listen"}},
	} {
		t.Run(sentence, func(t *testing.T) {
			got := leftfold(t, c.args...)
			if got.code != 2 {
				t.Errorf("exit %d, want 2", got.code)
			}
			holds(t, got.errors, c.want...)
		})
	}
}

func TestRuntimeTakesFlagsFromItsEnvironment(t *testing.T) {
	t.Setenv("LEFTFOLD_NAMESPACE", "default")
	t.Setenv("LEFTFOLD_RUNTIME", "bank")
	t.Setenv("LEFTFOLD_POD_UID", "u")
	t.Setenv("LEFTFOLD_POD_IP", "127.0.0.1")
	t.Setenv("LEFTFOLD_DATA", t.TempDir())
	t.Setenv("LEFTFOLD_HEARTBEAT_INTERVAL", "never")
	if got := leftfold(t, "runtime"); got.code != 2 || !strings.Contains(got.errors, "LEFTFOLD_HEARTBEAT_INTERVAL") {
		t.Errorf("a wrong variable: exit %d, %s", got.code, got.errors)
	}
	t.Setenv("LEFTFOLD_HEARTBEAT_INTERVAL", "100ms")
	t.Setenv("LEFTFOLD_IDENTITY", filepath.Join(t.TempDir(), "none"))
	got := leftfold(t, "runtime")
	if got.code != 1 || !strings.Contains(got.errors, "--identity") {
		t.Errorf("no certificates: exit %d, %s", got.code, got.errors)
	}
}

// certificates is a folder as the operator's Secret mounts it.
func certificates(t *testing.T, name string) string {
	t.Helper()
	folder := t.TempDir()
	authority, err := identity.NewAuthority("test", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := authority.Issue(name, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{
		identity.CertificateFile: certificate, identity.KeyFile: key, identity.AuthoritiesFile: authority.CertificatePEM(),
	} {
		if err := os.WriteFile(filepath.Join(folder, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// nowhere is a kubeconfig for an API server that does not answer.
func nowhere(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	const text = `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: u, user: {}}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestAPodBecomesReadyWithoutAnAPIServerLogsInJSONAndEndsWellOnSIGTERM(t *testing.T) {
	ops := freePort(t)
	var logs bytes.Buffer
	cmd := exec.Command(binary, "runtime", "--namespace", "default", "--runtime", "bank", "--pod-uid", "u", "--pod", "bank-1", "--pod-ip", "127.0.0.1",
		"--data", t.TempDir(), "--identity", certificates(t, identity.RuntimeName("default", "bank")), "--kubeconfig", nowhere(t),
		"--listen", "127.0.0.1:0", "--rpc-listen", "127.0.0.1:0", "--ops-listen", ops)
	cmd.Stderr = &logs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	ready := func() bool {
		response, err := http.Get("http://" + ops + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	}
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(patience); !ready(); <-poll.C {
		if time.Now().After(deadline) {
			_ = cmd.Process.Kill()
			t.Fatalf("it does not become ready, and ended with %v: %s", <-exited, logs.String())
		}
	}
	begun := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-exited; err != nil {
		t.Errorf("it ended with %v: %s", err, logs.String())
	}
	if took := time.Since(begun); took < 3*time.Second || took > 15*time.Second {
		t.Errorf("it ended after %s", took)
	}
	for line := range strings.Lines(logs.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["pod"] != "bank-1" {
			t.Errorf("a line of the log is %q", line)
		}
	}
}
