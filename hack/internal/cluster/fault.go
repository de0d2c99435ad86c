package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Direction of packets, as a node sees it.
type Direction string

// Directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Tables in a node's namespace, one a fault.
const (
	lossTable    = "leftfold-loss"
	inCutTable   = "leftfold-cut-in"
	outCutTable  = "leftfold-cut-out"
	faultsPrefix = "leftfold-"
)

// node finds a node by name.
func (c *Cluster) node(name string) (Node, error) {
	for _, node := range c.plan.nodes() {
		if node.Name == name {
			return node, nil
		}
	}
	return Node{}, fmt.Errorf("no node %q; there are node-1 to node-%d", name, c.plan.Size)
}

// Cut takes a node off the network in both directions, as if its cable were
// pulled: the link is down. Its pods go on and reach each other.
func (c *Cluster) Cut(ctx context.Context, node string) error { return c.link(ctx, node, "down") }

func (c *Cluster) link(ctx context.Context, node, state string) error {
	if _, err := c.node(node); err != nil {
		return err
	}
	_, err := run(ctx, "", "ip", "-netns", c.plan.switchNamespace(), "link", "set", node, state)
	return err
}

// CutOneWay drops all packets that come to a node, or all that leave it; the
// others pass, and nobody is told.
func (c *Cluster) CutOneWay(ctx context.Context, node string, direction Direction) error {
	switch direction {
	case In:
		return c.filter(ctx, node, inCutTable, dropIn("drop"))
	case Out:
		return c.filter(ctx, node, outCutTable, dropOut("drop"))
	default:
		return fmt.Errorf("direction %q: in or out is wanted", direction)
	}
}

// Loss drops packets of a node at random, in either direction by the given
// chance; 0 ends it.
func (c *Cluster) Loss(ctx context.Context, node string, percent int) error {
	if percent < 0 || percent > 100 {
		return fmt.Errorf("loss of %d %%: 0 to 100 is wanted", percent)
	}
	if percent == 0 {
		return c.filter(ctx, node, lossTable, "")
	}
	rule := fmt.Sprintf("numgen random mod 100 < %d drop", percent)
	return c.filter(ctx, node, lossTable, dropIn(rule)+dropOut(rule))
}

// The earliest and the latest place that a packet passes, whether it is for the
// node itself or for a pod on it.
func dropIn(rule string) string {
	return fmt.Sprintf("chain in { type filter hook prerouting priority -500; iifname %q %s; }\n", nodeLink, rule)
}

func dropOut(rule string) string {
	return fmt.Sprintf("chain out { type filter hook postrouting priority 500; oifname %q %s; }\n", nodeLink, rule)
}

// filter replaces one of our tables in a node's namespace in one transaction.
func (c *Cluster) filter(ctx context.Context, node, table, chains string) error {
	if _, err := c.node(node); err != nil {
		return err
	}
	// Adding before deleting makes it no error that the table is not there.
	rules := fmt.Sprintf("add table inet %[1]s\ndelete table inet %[1]s\n", table)
	if chains != "" {
		rules += fmt.Sprintf("table inet %s {\n%s}\n", table, chains)
	}
	_, err := c.inside(ctx, c.plan.nodeNamespace(node), rules, "nft", "-f", "-")
	return err
}

// Heal ends every network fault of a node.
func (c *Cluster) Heal(ctx context.Context, node string) error {
	errs := []error{c.link(ctx, node, "up")}
	for _, table := range []string{inCutTable, outCutTable, lossTable} {
		errs = append(errs, c.filter(ctx, node, table, ""))
	}
	return errors.Join(errs...)
}

// Faults tells what is wrong with a node on purpose, in words; nothing when
// nothing is.
func (c *Cluster) Faults(ctx context.Context, node string) ([]string, error) {
	if _, err := c.node(node); err != nil {
		return nil, err
	}
	var faults []string
	link, err := run(ctx, "", "ip", "-netns", c.plan.switchNamespace(), "link", "show", node)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(link, ",UP") {
		faults = append(faults, "cut off")
	}
	tables, err := c.inside(ctx, c.plan.nodeNamespace(node), "", "nft", "list", "tables")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(tables) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "table inet "+faultsPrefix); ok {
			faults = append(faults, name)
		}
	}
	pids, err := members("/proc", c.ofPart(node))
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		if stat, err := readStat("/proc", pid); err == nil && stat.state == 'T' {
			return append(faults, "stopped"), nil
		}
	}
	return faults, nil
}

// Stop freezes a node: every process of it, with those in containers, as a
// machine stands still whose hypervisor has paused it.
func (c *Cluster) Stop(node string) error { return c.signal(node, unix.SIGSTOP) }

// Continue lets a node go on that Stop froze.
func (c *Cluster) Continue(node string) error { return c.signal(node, unix.SIGCONT) }

// signal reaches every process of a node. What is being started meanwhile is
// found by another look, until a look finds nobody new.
func (c *Cluster) signal(node string, signal unix.Signal) error {
	if _, err := c.node(node); err != nil {
		return err
	}
	told := map[int]bool{}
	for {
		pids, err := members("/proc", c.ofPart(node))
		if err != nil {
			return err
		}
		news := false
		for _, pid := range pids {
			if told[pid] {
				continue
			}
			if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("signal process %d of %s: %w", pid, node, err)
			}
			told[pid], news = true, true
		}
		if !news {
			return nil
		}
	}
}
