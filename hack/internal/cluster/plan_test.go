package cluster

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func TestPlanDefaultsToThreeNodes(t *testing.T) {
	p := mustPlan(t, "", netip.Prefix{}, 0)
	if p.Name != "leftfold" || p.Network != defaultNetwork || len(p.nodes()) != 3 {
		t.Errorf("got %+v", p)
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		name, cluster, network string
		size                   int
		complaint              string
	}{
		{"a name too long for an interface", "leftfolds9", "10.1.0.0/16", 3, "cluster name"},
		{"a name with what interfaces do not allow", "left/fold", "10.1.0.0/16", 3, "cluster name"},
		{"a public network", "a", "11.0.0.0/16", 3, "private"},
		{"a network too small", "a", "10.1.0.0/20", 3, "16 bits"},
		{"an address within the network", "a", "10.1.0.1/16", 3, "16 bits"},
		{"a network of IPv6", "a", "fd00::/16", 3, "IPv4"},
		{"less than one node", "a", "10.1.0.0/16", -1, "nodes"},
		{"more nodes than a machine can bear", "a", "10.1.0.0/16", 51, "nodes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := newPlan(c.cluster, netip.MustParsePrefix(c.network), c.size)
			if err == nil || !strings.Contains(err.Error(), c.complaint) {
				t.Errorf("newPlan: %v; want %q in it", err, c.complaint)
			}
		})
	}
}

func TestSubnetsOfTheLargestClusterAreApart(t *testing.T) {
	p := mustPlan(t, "", netip.MustParsePrefix("172.20.0.0/16"), maxNodes)
	subnets := []netip.Prefix{p.machines(), p.services()}
	addresses := map[netip.Addr]string{p.host(): "host", p.gateway(): "gateway"}
	for _, node := range p.nodes() {
		subnets = append(subnets, node.Pods)
		if !p.pods().Contains(node.Pods.Addr()) {
			t.Errorf("%s: pods %s are not in %s", node.Name, node.Pods, p.pods())
		}
		if !p.machines().Contains(node.Address) {
			t.Errorf("%s: %s is not in %s", node.Name, node.Address, p.machines())
		}
		if other, taken := addresses[node.Address]; taken {
			t.Errorf("%s has the address of %s", node.Name, other)
		}
		addresses[node.Address] = node.Name
	}
	for i, a := range subnets {
		if !p.Network.Overlaps(a) {
			t.Errorf("%s is not in %s", a, p.Network)
		}
		for _, b := range subnets[:i] {
			if a.Overlaps(b) {
				t.Errorf("%s overlaps %s", a, b)
			}
		}
	}
	if p.pods().Overlaps(p.services()) {
		t.Errorf("pods %s overlap services %s", p.pods(), p.services())
	}
	// The first address of the range is the API server's, by Kubernetes' rule.
	if want := p.services().Addr().Next(); p.apiService() != want {
		t.Errorf("API service is at %s, not %s", p.apiService(), want)
	}
}

func TestInterfaceNamesFitTheKernel(t *testing.T) {
	p := mustPlan(t, "abcdefgh", netip.Prefix{}, maxNodes)
	for _, name := range append([]string{p.hostLink()}, p.nodes()[maxNodes-1].Name) {
		if len(name) > 15 {
			t.Errorf("%s has more than 15 characters", name)
		}
	}
}

func TestPlanSurvivesItsRecord(t *testing.T) {
	want := mustPlan(t, "other", netip.MustParsePrefix("172.20.0.0/16"), 5)
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got plan
	if err := json.Unmarshal(raw, &got); err != nil || got != want {
		t.Errorf("read %+v, %v; want %+v", got, err, want)
	}
}

func TestRoutesInTheWay(t *testing.T) {
	network := netip.MustParsePrefix("10.213.0.0/16")
	for _, c := range []struct{ name, routes, inTheWay string }{
		{"nothing else is routed", `[]`, ""},
		{"the default route is in nobody's way", `[{"dst":"default","dev":"eth0"}]`, ""},
		{"another network is in nobody's way", `[{"dst":"192.168.1.0/24","dev":"eth0"},{"dst":"10.0.0.1","dev":"lo"}]`, ""},
		{"a part of it is routed", `[{"dst":"10.213.7.0/24","dev":"docker0"}]`, "10.213.7.0/24 to docker0"},
		{"one address of it is routed", `[{"dst":"10.213.7.9","dev":"wg0"}]`, "10.213.7.9/32 to wg0"},
		{"a network around it is routed", `[{"dst":"10.0.0.0/8","dev":"tun0"}]`, "10.0.0.0/8 to tun0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := overlapping([]byte(c.routes), network)
			switch {
			case c.inTheWay == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.inTheWay != "" && (err == nil || !strings.Contains(err.Error(), c.inTheWay)):
				t.Errorf("%v; want %q in it", err, c.inTheWay)
			}
		})
	}
}

func mustPlan(t *testing.T, name string, network netip.Prefix, size int) plan {
	t.Helper()
	p, err := newPlan(name, network, size)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
