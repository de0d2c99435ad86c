package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/leftfold/leftfold/controllers/placement"
)

// preview prints plans, round after round, and what becomes of the members.
func preview(out io.Writer, c *cluster, once bool) error {
	for round := 1; round <= maxRounds; round++ {
		plan := placement.Compute(c.Members, c.Shards, c.Policy)
		if round == 1 && len(plan.Assign) == 0 && len(plan.Unplaced) == 0 {
			fmt.Fprintln(out, "nothing to do")
		}
		if len(plan.Assign) > 0 || round == 1 && len(plan.Unplaced) > 0 {
			fmt.Fprintf(out, "plan %d: %d moves\n", round, len(plan.Assign))
			printPlan(out, plan)
		}
		if len(c.carryOut(plan)) == 0 || once {
			break
		}
	}
	return printMembers(out, c)
}

func printPlan(out io.Writer, plan placement.Plan) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, move := range plan.Assign {
		from := move.From
		if from == "" {
			from = "nobody"
		}
		fmt.Fprintf(table, "  %s\t%s\t->\t%s\t%s\n", nameOf(move.Shard), from, move.To, move.Reason)
	}
	for _, id := range plan.Unplaced {
		fmt.Fprintf(table, "  %s\tstays without an owner: no member is ready\n", nameOf(id))
	}
	table.Flush()
}

func printMembers(out io.Writer, c *cluster) error {
	shards, load := map[string]int{}, map[string]float64{}
	for _, s := range c.Shards {
		shards[s.Owner]++
		load[s.Owner] += s.Load
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nMEMBER\tNODE\tZONE\tREVISION\tSTATE\tSHARDS\tEVENTS/S")
	for _, m := range c.Members {
		state := "ready"
		switch {
		case m.Draining:
			state = "draining"
		case !m.Ready:
			state = "not ready"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%.0f\n", m.ID, m.Node, m.Zone, m.Revision, state, shards[m.ID], load[m.ID])
	}
	return table.Flush()
}
