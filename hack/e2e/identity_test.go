//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

// leftfold runs the client.
func leftfold(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "../../bin/leftfold", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("leftfold %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestWithoutACertificateOfTheOperatorsThereIsNothing calls the port that pods and
// operator use among themselves, with no certificate, with one of another
// authority, and with one of another runtime.
func TestWithoutACertificateOfTheOperatorsThereIsNothing(t *testing.T) {
	bank := newBank(t)
	pods, err := bank.Pods(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	address := pods[0].IP + ":8082"
	now := time.Now()
	authority, err := identity.NewAuthority("stranger", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(name string) []tls.Certificate {
		certificate, key, err := authority.Issue(name, now, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{pair}
	}
	for _, caller := range []struct {
		name         string
		certificates []tls.Certificate
	}{
		{"no certificate", nil},
		{"the operator's name from another authority", forged(identity.OperatorName)},
		{"the runtime's name from another authority", forged(identity.RuntimeName(bank.Namespace, "bank"))},
	} {
		for _, service := range []string{"ControlService/Control", "EntityService/Handle", "EntityService/Read"} {
			t.Run(caller.name+" at "+service, func(t *testing.T) {
				client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
					ForceAttemptHTTP2: true,
					TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, Certificates: caller.certificates},
				}}
				response, err := client.Post("https://"+address+"/leftfold.v1."+service, "application/json", bytes.NewBufferString("{}"))
				if err == nil {
					_ = response.Body.Close()
					t.Errorf("answered %s", response.Status)
				}
			})
		}
		t.Run(caller.name+" in plain text", func(t *testing.T) {
			client := &http.Client{Timeout: 5 * time.Second}
			response, err := client.Get("http://" + address + "/")
			if err == nil {
				defer func() { _ = response.Body.Close() }()
				if response.StatusCode != http.StatusBadRequest {
					t.Errorf("answered %s", response.Status)
				}
			}
		})
	}
}

// TestRightsOfServiceAccounts compares what each service account may do with
// testdata/rights, word by word (UPDATE=1 writes it anew).
func TestRightsOfServiceAccounts(t *testing.T) {
	bank := newBank(t)
	for _, account := range []struct{ file, user, namespace string }{
		{"operator", "system:serviceaccount:" + stage.Namespace + ":leftfold-operator", stage.Namespace},
		{"operator-elsewhere", "system:serviceaccount:" + stage.Namespace + ":leftfold-operator", bank.Namespace},
		{"runtime", "system:serviceaccount:" + bank.Namespace + ":bank", bank.Namespace},
	} {
		t.Run(account.file, func(t *testing.T) {
			got := rights(t, account.user, account.namespace)
			file := filepath.Join("testdata", "rights", account.file)
			if os.Getenv("UPDATE") != "" {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("kubectl auth can-i --list has changed for %s:\n%s\nwant\n%s", account.user, got, want)
			}
		})
	}
}

// rights lists what a user may do beyond what every authenticated user may.
func rights(t *testing.T, user, namespace string) string {
	t.Helper()
	list := func(user string) []string {
		out := kubectl(t, "auth", "can-i", "--list", "--as="+user, "--as-group=system:authenticated", "-n", namespace)
		var lines []string
		for line := range strings.Lines(out) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return lines
	}
	everybody := map[string]bool{}
	for _, line := range list("nobody") {
		everybody[line] = true
	}
	var own []string
	for _, line := range list(user) {
		if !everybody[line] {
			own = append(own, line)
		}
	}
	return fmt.Sprintln(strings.Join(own, "\n"))
}
