package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// nodeLink is a node's only interface to the others, inside of its namespace.
const nodeLink = "eth0"

// checkNetwork refuses a machine on which our names, addresses or ports are
// taken, and tells by what.
func (c *Cluster) checkNetwork(ctx context.Context) error {
	out, err := run(ctx, "", "ip", "-json", "-4", "route", "show", "table", "all")
	if err != nil {
		return err
	}
	if err := overlapping([]byte(out), c.plan.Network); err != nil {
		return err
	}
	if _, err := net.InterfaceByName(c.plan.hostLink()); err == nil {
		return fmt.Errorf("interface %s is there already and is not of a cluster in %s", c.plan.hostLink(), c.dir)
	}
	for _, namespace := range c.namespaces() {
		if _, err := os.Stat(namespacePath(namespace)); err == nil {
			return fmt.Errorf("network namespace %s is there already and is not of a cluster in %s", namespace, c.dir)
		}
	}
	for port, who := range map[int]string{
		apiPort: "the API server", etcdPort: "etcd", etcdPeerPort: "etcd's peers",
		controllerManagerPort: "the controller manager", schedulerPort: "the scheduler",
	} {
		listener, err := net.Listen("tcp4", fmt.Sprintf("0.0.0.0:%d", port))
		if err != nil {
			return fmt.Errorf("port %d, which %s needs: %w", port, who, err)
		}
		_ = listener.Close()
	}
	return nil
}

// overlapping looks for the network in the answer of `ip -json route`. A default
// route is in nobody's way.
func overlapping(routes []byte, network netip.Prefix) error {
	var list []struct {
		Destination string `json:"dst"`
		Device      string `json:"dev"`
		Table       string `json:"table"`
	}
	if err := json.Unmarshal(routes, &list); err != nil {
		return fmt.Errorf("routes of this machine: %w", err)
	}
	for _, route := range list {
		if route.Destination == "default" {
			continue
		}
		destination, err := netip.ParsePrefix(route.Destination)
		if err != nil {
			address, err := netip.ParseAddr(route.Destination)
			if err != nil {
				continue
			}
			destination = netip.PrefixFrom(address, address.BitLen())
		}
		if destination.Bits() > 0 && destination.Overlaps(network) {
			return fmt.Errorf("the cluster's network %s is in use: this machine routes %s to %s; choose another with -network",
				network, destination, route.Device)
		}
	}
	return nil
}

// namespaceFolder is where iproute2 keeps named network namespaces.
const namespaceFolder = "/run/netns"

func namespacePath(namespace string) string { return namespaceFolder + "/" + namespace }

// namespaces are all that the cluster makes.
func (c *Cluster) namespaces() []string {
	names := []string{c.plan.switchNamespace()}
	for _, node := range c.plan.nodes() {
		names = append(names, c.plan.nodeNamespace(node.Name))
	}
	return names
}

// connect makes namespaces, links, routes, and the table that keeps the API
// server, which listens on all addresses, to this machine and its cluster.
func (c *Cluster) connect(ctx context.Context) error {
	plan, hub := c.plan, c.plan.switchNamespace()
	for _, namespace := range c.namespaces() {
		if _, err := run(ctx, "", "ip", "netns", "add", namespace); err != nil {
			return err
		}
	}
	bits := plan.machines().Bits()
	host := []string{
		fmt.Sprintf("link add %s type veth peer name host netns %s", plan.hostLink(), hub),
		fmt.Sprintf("address add %s/%d dev %s", plan.host(), bits, plan.hostLink()),
		fmt.Sprintf("link set %s up", plan.hostLink()),
		fmt.Sprintf("route add %s via %s src %s", plan.services(), plan.gateway(), plan.host()),
	}
	center := []string{
		"link set lo up",
		"link add switch type bridge",
		"link set host master switch",
		"link set host up",
		fmt.Sprintf("address add %s/%d dev switch", plan.gateway(), bits),
		"link set switch up",
	}
	for _, node := range plan.nodes() {
		center = append(center,
			fmt.Sprintf("link add %s type veth peer name %s netns %s", node.Name, nodeLink, plan.nodeNamespace(node.Name)),
			fmt.Sprintf("link set %s master switch", node.Name),
			fmt.Sprintf("link set %s up", node.Name),
			fmt.Sprintf("route add %s via %s", node.Pods, node.Address),
		)
		host = append(host, fmt.Sprintf("route add %s via %s src %s", node.Pods, node.Address, plan.host()))
	}
	// The host's end of the first link makes the peer in the switch's namespace.
	if _, err := run(ctx, strings.Join(host[:1], "\n"), "ip", "-batch", "-"); err != nil {
		return err
	}
	if _, err := run(ctx, strings.Join(center, "\n"), "ip", "-netns", hub, "-batch", "-"); err != nil {
		return err
	}
	if _, err := run(ctx, strings.Join(host[1:], "\n"), "ip", "-batch", "-"); err != nil {
		return err
	}
	if err := c.forward(ctx, hub); err != nil {
		return err
	}
	for _, node := range plan.nodes() {
		if err := c.connectNode(ctx, node); err != nil {
			return err
		}
	}
	_, err := run(ctx, c.guard(), "nft", "-f", "-")
	return err
}

func (c *Cluster) connectNode(ctx context.Context, node Node) error {
	namespace := c.plan.nodeNamespace(node.Name)
	commands := []string{
		"link set lo up",
		fmt.Sprintf("address add %s/%d dev %s", node.Address, c.plan.machines().Bits(), nodeLink),
		fmt.Sprintf("link set %s up", nodeLink),
	}
	for _, other := range c.plan.nodes() {
		if other.Name != node.Name {
			commands = append(commands, fmt.Sprintf("route add %s via %s", other.Pods, other.Address))
		}
	}
	if _, err := run(ctx, strings.Join(commands, "\n"), "ip", "-netns", namespace, "-batch", "-"); err != nil {
		return err
	}
	return c.forward(ctx, namespace)
}

// forward makes a namespace of ours a router. The host stays what it is.
func (c *Cluster) forward(ctx context.Context, namespace string) error {
	_, err := c.inside(ctx, namespace, "", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	return err
}

// inside runs a program in one of our network namespaces.
func (c *Cluster) inside(ctx context.Context, namespace, stdin, program string, args ...string) (string, error) {
	return run(ctx, stdin, "nsenter", append([]string{"--net=" + namespacePath(namespace), "--", program}, args...)...)
}

// guard is the only table of nftables on the host that is ours.
func (c *Cluster) guard() string {
	return fmt.Sprintf(`table inet %[1]s {
	chain input {
		type filter hook input priority filter; policy accept;
		iifname != { "lo", %[1]q } tcp dport %[2]d drop
	}
}
`, c.plan.hostLink(), apiPort)
}

// disconnect removes whatever connect made and is still there.
func (c *Cluster) disconnect(ctx context.Context) error {
	var errs []error
	if tables, err := run(ctx, "", "nft", "list", "tables"); err != nil {
		errs = append(errs, err)
	} else if strings.Contains(tables+"\n", "table inet "+c.plan.hostLink()+"\n") {
		_, err := run(ctx, "", "nft", "delete", "table", "inet", c.plan.hostLink())
		errs = append(errs, err)
	}
	// The host's routes go with its interface.
	if _, err := net.InterfaceByName(c.plan.hostLink()); err == nil {
		_, err := run(ctx, "", "ip", "link", "delete", c.plan.hostLink())
		errs = append(errs, err)
	}
	for _, namespace := range c.namespaces() {
		if _, err := os.Stat(namespacePath(namespace)); err == nil {
			_, err := run(ctx, "", "ip", "netns", "delete", namespace)
			errs = append(errs, err)
		}
	}
	if c.state.NamespaceMount {
		errs = append(errs, removeEmptyMount(namespaceFolder))
	}
	return errors.Join(errs...)
}

// noMount tells whether nothing is mounted on a folder, there or not.
func noMount(folder string) (bool, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return false, err
	}
	return !strings.Contains(string(mounts), " "+folder+" "), nil
}

// removeEmptyMount removes a folder and its mount, unless somebody has put
// something into it.
func removeEmptyMount(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if free, err := noMount(folder); err != nil {
		return err
	} else if !free {
		if err := unix.Unmount(folder, 0); err != nil {
			return fmt.Errorf("unmount %s: %w", folder, err)
		}
	}
	return os.Remove(folder)
}
