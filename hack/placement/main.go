// Command placement prints what the operator would do with given members and
// shards: which shard would go where, and why. It asks the same planner that the
// operator asks, and touches no cluster.
//
//	go run ./hack/placement -f cluster.yaml
//	go run ./hack/placement -members 5 -shards account=16,transfer=64 -lost 1
//
// With -f it reads members and shards from a YAML or JSON file, or from standard
// input when the file is "-". Without, it makes members on nodes of three zones, and
// shards as a fresh Runtime has them; -lost takes members away after the shards have
// settled, -drain marks them as draining. Plans are carried out and asked for again
// until there is nothing more to do, unless -once is given.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/leftfold/leftfold/controllers/placement"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "placement: "+err.Error())
		os.Exit(1)
	}
}

// run is the program.
func run(arguments []string, in io.Reader, out io.Writer) error {
	flags := flag.NewFlagSet("placement", flag.ContinueOnError)
	file := flags.String("f", "", "YAML or JSON with members, shards and policy; - for standard input")
	members := flags.Int("members", 3, "how many members to make")
	shards := flags.String("shards", "account=16", "aggregates to make, as name=shards, separated by commas")
	lost := flags.Int("lost", 0, "how many members to take away once shards have settled")
	drain := flags.Int("drain", 0, "how many members to drain once shards have settled")
	once := flags.Bool("once", false, "print the first plan only")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *file != "" {
		c, err := readCluster(*file, in)
		if err != nil {
			return err
		}
		return preview(out, c, *once)
	}
	c, err := makeCluster(*members, *shards)
	if err != nil {
		return err
	}
	if *lost+*drain > *members {
		return fmt.Errorf("-lost and -drain name %d members, there are %d", *lost+*drain, *members)
	}
	if *lost+*drain > 0 {
		settle(c)
		c.Members = c.Members[*lost:]
		for i := range *drain {
			c.Members[i].Draining = true
		}
	}
	return preview(out, c, *once)
}

// maxRounds is more than any plan needs to come to an end: each moves at least one
// shard, and placement says why it ends.
const maxRounds = 100_000

// settle carries plans out until there is nothing more to do.
func settle(c *cluster) {
	for range maxRounds {
		if len(c.carryOut(placement.Compute(c.Members, c.Shards, c.Policy))) == 0 {
			return
		}
	}
}
