package cluster

import (
	"fmt"
	"net/netip"
	"regexp"
)

// Node is one node of the cluster.
type Node struct {
	// Name is the node's name in Kubernetes, such as node-2.
	Name string
	// Zone is its label topology.kubernetes.io/zone; every node has its own.
	Zone string
	// Address is the node's own.
	Address netip.Addr
	// Pods is the subnet of its pods.
	Pods netip.Prefix
}

// defaultNetwork is unlikely to be in use: people who pick a private network by
// hand begin at the low numbers, and programs that pick one (Docker, libvirt,
// other clusters) have their own habits.
var defaultNetwork = netip.MustParsePrefix("10.213.0.0/16")

// Ports of the control plane on the host: far from the usual ones, which another
// cluster on the machine may have, and below the range of outgoing connections.
const (
	apiPort               = 16443
	etcdPort              = 16379
	etcdPeerPort          = 16380
	controllerManagerPort = 16257
	schedulerPort         = 16259
)

// maxNodes keeps a typing error from starting hundreds of kubelets.
const maxNodes = 50

// plan is all that follows from a cluster's name, network and size: names and
// addresses. It is pure.
type plan struct {
	Name    string       `json:"name"`
	Network netip.Prefix `json:"network"`
	Size    int          `json:"nodes"`
}

// validName leaves room for what is appended: an interface has 15 characters.
var validName = regexp.MustCompile(`^[a-z][a-z0-9]{0,7}$`)

func newPlan(name string, network netip.Prefix, size int) (plan, error) {
	if name == "" {
		name = "leftfold"
	}
	if !network.IsValid() {
		network = defaultNetwork
	}
	if size == 0 {
		size = 3
	}
	if !validName.MatchString(name) {
		return plan{}, fmt.Errorf("cluster name %q: 1 to 8 small letters and digits, a letter first", name)
	}
	if !network.Addr().Is4() || network.Bits() != 16 || network != network.Masked() || !network.Addr().IsPrivate() {
		return plan{}, fmt.Errorf("cluster network %s: a private IPv4 network with 16 bits is wanted, such as %s", network, defaultNetwork)
	}
	if size < 1 || size > maxNodes {
		return plan{}, fmt.Errorf("%d nodes: 1 to %d can be had", size, maxNodes)
	}
	return plan{Name: name, Network: network, Size: size}, nil
}

// at is the address whose last two numbers are these.
func (p plan) at(third, fourth byte) netip.Addr {
	b := p.Network.Addr().As4()
	b[2], b[3] = third, fourth
	return netip.AddrFrom4(b)
}

// host is the machine's address in the cluster's network; the API server is there.
func (p plan) host() netip.Addr { return p.at(0, 1) }

// gateway is where the host sends what is for a Service.
func (p plan) gateway() netip.Addr { return p.at(0, 254) }

// machines is the subnet of the host, the gateway and the nodes.
func (p plan) machines() netip.Prefix { return netip.PrefixFrom(p.at(0, 0), 24) }

// pods holds the pod subnets of all nodes, and nothing else.
func (p plan) pods() netip.Prefix { return netip.PrefixFrom(p.at(128, 0), 18) }

func (p plan) services() netip.Prefix { return netip.PrefixFrom(p.at(192, 0), 20) }

// apiService is the address of the Service kubernetes, which pods use: the first
// of its range, by Kubernetes' rule.
func (p plan) apiService() netip.Addr { return p.at(192, 1) }

func (p plan) nodes() []Node {
	nodes := make([]Node, p.Size)
	for i := range nodes {
		number := byte(i + 1)
		nodes[i] = Node{
			Name:    fmt.Sprintf("node-%d", number),
			Zone:    fmt.Sprintf("zone-%d", number),
			Address: p.at(0, 10+number),
			Pods:    netip.PrefixFrom(p.at(128+number, 0), 24),
		}
	}
	return nodes
}

// hostLink is the host's only interface in the cluster, and also the name of the
// table in nftables that keeps strangers from the API server.
func (p plan) hostLink() string { return p.Name + "0" }

// switchNamespace holds the bridge and the kube-proxy for the host.
func (p plan) switchNamespace() string { return p.Name + "-net" }

func (p plan) nodeNamespace(node string) string { return p.Name + "-" + node }
