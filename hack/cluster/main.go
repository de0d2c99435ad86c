// Command cluster starts and ends the local Kubernetes cluster; see README.md.
//
//	go run ./hack/cluster up|down|status|load|kubeconfig|cut|heal|…
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/types"

	"github.com/leftfold/leftfold/hack/internal/cluster"
)

const usage = `usage: go run ./hack/cluster COMMAND

  up [-nodes N] [-network PREFIX]   start a cluster, or take the one that runs; prints its kubeconfig
  down                              end it and remove all of it
  status                            nodes, faults, processes and their logs
  load ARCHIVE…                     import image archives into every node
  kubeconfig                        print the path of the kubeconfig

  cut NODE                          pull the node's cable
  cut-one-way NODE in|out           drop what comes to the node, or what leaves it
  loss NODE PERCENT                 drop packets at random, both ways
  heal NODE                         end these
  stop NODE, continue NODE          freeze all processes of a node, let them go on
  pid POD-UID CONTAINER             print node and process number of a running container

Where KUBECONFIG names another cluster, up and down leave that one as it is.
`

func main() {
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, flag.Arg(0), flag.Args()[1:])
	if errors.Is(err, errUsage) {
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster: "+err.Error())
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong use")

// command carries one out. Those that start or touch processes and networks need
// root and ask sudo for it.
func command(ctx context.Context, name string, args []string) error {
	switch name {
	case "up":
		return up(ctx, args)
	case "down":
		if other := elsewhere(); other != "" {
			fmt.Fprintf(os.Stderr, "cluster: KUBECONFIG is %s; that cluster is left as it is\n", other)
		}
		return asRoot(func() error { return cluster.Down(ctx, "", os.Stderr) })
	case "kubeconfig":
		c, err := cluster.Attach("")
		if err != nil {
			return err
		}
		fmt.Println(c.Kubeconfig())
		return nil
	case "load":
		return load(ctx, args)
	case "status":
		return asRoot(func() error { return status(ctx) })
	default:
		return asRoot(func() error { return fault(ctx, name, args) })
	}
}

func up(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	nodes := flags.Int("nodes", 0, "number of nodes (default 3)")
	network := flags.String("network", "", "private network with 16 bits (default 10.213.0.0/16)")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return errUsage
	}
	if other := elsewhere(); other != "" {
		fmt.Fprintf(os.Stderr, "cluster: using the cluster of KUBECONFIG; none is started\n")
		fmt.Println(other)
		return nil
	}
	options := cluster.Options{Nodes: *nodes, Log: os.Stderr}
	if *network != "" {
		var err error
		if options.Network, err = netip.ParsePrefix(*network); err != nil {
			return err
		}
	}
	// As who we are, so that the caches stay that user's.
	programs, err := cluster.Prepare(ctx, "", os.Stderr)
	if err != nil {
		return err
	}
	if err := os.Setenv("KUBEBUILDER_ASSETS", programs.Folder); err != nil {
		return err
	}
	return asRoot(func() error {
		c, err := cluster.Up(ctx, options)
		if err != nil {
			return err
		}
		fmt.Println(c.Kubeconfig())
		return nil
	})
}

func load(ctx context.Context, archives []string) error {
	if len(archives) == 0 {
		return errUsage
	}
	if other := elsewhere(); other != "" {
		fmt.Fprintf(os.Stderr, "cluster: KUBECONFIG is %s: its nodes have to get images by themselves\n", other)
		return nil
	}
	return asRoot(func() error {
		c, err := cluster.Attach("")
		if err != nil {
			return err
		}
		c.LogTo(os.Stderr)
		for _, archive := range archives {
			if err := c.Load(ctx, archive); err != nil {
				return err
			}
		}
		return nil
	})
}

func status(ctx context.Context) error {
	c, err := cluster.Attach("")
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	defer out.Flush()
	ready, err := c.Ready(ctx)
	if err != nil {
		fmt.Fprintf(out, "The API server does not answer: %v\n\n", err)
	}
	fmt.Fprintln(out, "NODE\tREADY\tADDRESS\tPODS\tZONE\tFAULTS")
	for _, node := range c.Nodes() {
		faults, err := c.Faults(ctx, node.Name)
		if err != nil {
			faults = []string{"unknown"}
		}
		fmt.Fprintf(out, "%s\t%t\t%s\t%s\t%s\t%s\n", node.Name, ready[node.Name], node.Address, node.Pods, node.Zone,
			strings.Join(faults, ", "))
	}
	fmt.Fprintln(out, "\nCOMPONENT\tRUNNING\tPID\tLOG")
	for _, component := range c.Components() {
		fmt.Fprintf(out, "%s\t%t\t%d\t%s\n", component.Name, component.Running, component.PID, component.Log)
	}
	fmt.Fprintf(out, "\nkubeconfig\t%s\nhost as pods see it\t%s\n", c.Kubeconfig(), c.HostAddress())
	return nil
}

func fault(ctx context.Context, name string, args []string) error {
	wanted := map[string]int{"cut": 1, "cut-one-way": 2, "loss": 2, "heal": 1, "stop": 1, "continue": 1, "pid": 2}
	if count, known := wanted[name]; !known || len(args) != count {
		return errUsage
	}
	c, err := cluster.Attach("")
	if err != nil {
		return err
	}
	switch name {
	case "cut":
		return c.Cut(ctx, args[0])
	case "cut-one-way":
		return c.CutOneWay(ctx, args[0], cluster.Direction(args[1]))
	case "loss":
		percent, err := strconv.Atoi(strings.TrimSuffix(args[1], "%"))
		if err != nil {
			return errUsage
		}
		return c.Loss(ctx, args[0], percent)
	case "heal":
		return c.Heal(ctx, args[0])
	case "stop":
		return c.Stop(args[0])
	case "continue":
		return c.Continue(args[0])
	default:
		node, pid, err := c.ContainerPID(ctx, types.UID(args[0]), args[1])
		if err != nil {
			return err
		}
		fmt.Println(node, pid)
		return nil
	}
}

// elsewhere is KUBECONFIG where it is not that of the local cluster.
func elsewhere() string {
	set := os.Getenv("KUBECONFIG")
	folder, err := cluster.Folder("")
	if err == nil && set == filepath.Join(folder, "kubeconfig") {
		return ""
	}
	return set
}

// asRoot does it, by sudo when need be: then this program runs once more with the
// same arguments, and with what it has to know of the caller's environment.
func asRoot(do func() error) error {
	if os.Geteuid() == 0 {
		return do()
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	environment := []string{"env"}
	for _, name := range []string{"PATH", "HOME", "KUBECONFIG", "KUBEBUILDER_ASSETS", "LEFTFOLD_CACHE", cluster.FolderVariable} {
		if value, set := os.LookupEnv(name); set {
			environment = append(environment, name+"="+value)
		}
	}
	cmd := exec.Command("sudo", append(append(environment, self), os.Args[1:]...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		return fmt.Errorf("this needs root: %w", err)
	}
	return nil
}
