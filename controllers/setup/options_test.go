package setup

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/leftfold/leftfold/controllers/runtime"
)

func TestAFlagThatIsWrongIsNamed(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		says  string
	}{
		{"there is no namespace", []string{"--namespace="}, "--namespace"},
		{"runtime pods have no image", []string{"--runtime-image="}, "--runtime-image"},
		{"the role is of no kind", []string{"--runtime-role=leftfold-runtime"}, "--runtime-role"},
		{"the role is of another kind", []string{"--runtime-role=Group/leftfold-runtime"}, "--runtime-role"},
		{"the role has no name", []string{"--runtime-role=Role/"}, "--runtime-role"},
		{"there is no such level", []string{"--log-level=loud"}, "--log-level"},
		{"there is no such format", []string{"--log-format=xml"}, "--log-format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := parsed(t, append([]string{"--namespace=leftfold-system"}, c.flags...)...)
			if err := o.check(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want one that names %s", err, c.says)
			}
		})
	}
}

func TestOptionsHaveDefaults(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "leftfold-system")
	o := parsed(t)
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	want := Options{
		Namespace: "leftfold-system", RuntimeImage: "leftfold:1.2.3", RuntimeRole: "ClusterRole/leftfold-runtime",
		MetricsAddress: ":8443", MetricsAuthentication: true, HealthAddress: ":8081", LeaderElection: true,
		LogLevel: "info", LogFormat: "json",
	}
	if diff := cmp.Diff(want, o); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := o.role(); got != (runtime.Role{Kind: "ClusterRole", Name: "leftfold-runtime"}) {
		t.Errorf("role is %+v", got)
	}
}

func TestOnlyTheNamedNamespacesAreWatched(t *testing.T) {
	o := parsed(t, "--watch-namespaces=money,shop")
	got := cacheOptions(o).DefaultNamespaces
	if _, money := got["money"]; !money || len(got) != 2 {
		t.Errorf("watched are %v", got)
	}
	if got := cacheOptions(parsed(t)).DefaultNamespaces; got != nil {
		t.Errorf("without the flag, watched are %v, want all", got)
	}
}

func parsed(t *testing.T, flags ...string) Options {
	t.Helper()
	o := NewOptions("1.2.3")
	set := pflag.NewFlagSet("leftfold-operator", pflag.ContinueOnError)
	o.Bind(set)
	if err := set.Parse(flags); err != nil {
		t.Fatal(err)
	}
	return o
}
