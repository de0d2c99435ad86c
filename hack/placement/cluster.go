package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/leftfold/leftfold/controllers/placement"
)

// cluster is what a plan is made for.
type cluster struct {
	Members []placement.Member `json:"members"`
	Shards  []placement.Shard  `json:"shards"`
	Policy  placement.Policy   `json:"policy"`
}

// readCluster reads a cluster; names of fields are those of package placement, in
// any case. Members are ready unless the file says otherwise.
func readCluster(name string, in io.Reader) (*cluster, error) {
	text, err := io.ReadAll(in)
	if name != "-" {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	var readiness struct {
		Members []struct{ Ready *bool }
	}
	if err := yaml.Unmarshal(text, &readiness); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := &cluster{}
	if err := yaml.UnmarshalStrict(text, c); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i := range c.Members {
		c.Members[i].Ready = readiness.Members[i].Ready == nil || *readiness.Members[i].Ready
	}
	return c, c.check()
}

// check finds names that are not unique or not there.
func (c *cluster) check() error {
	members, shards := map[string]bool{}, map[placement.ShardID]bool{}
	for i, m := range c.Members {
		if m.ID == "" || members[m.ID] {
			return fmt.Errorf("members[%d].id is %q: it must be there, and once", i, m.ID)
		}
		members[m.ID] = true
	}
	for i, s := range c.Shards {
		if s.Aggregate == "" || shards[s.ShardID] {
			return fmt.Errorf("shards[%d] is %s: each needs an aggregate, and a number of its own", i, nameOf(s.ShardID))
		}
		shards[s.ShardID] = true
	}
	return nil
}

// makeCluster makes ready members on nodes of three zones, and orphans.
func makeCluster(members int, aggregates string) (*cluster, error) {
	if members < 1 {
		return nil, errors.New("-members must be at least 1")
	}
	c := &cluster{}
	for i := range members {
		c.Members = append(c.Members, placement.Member{
			ID: fmt.Sprintf("member-%d", i+1), Node: fmt.Sprintf("node-%d", i+1),
			Zone: "zone-" + string(rune('a'+i%3)), Ready: true,
		})
	}
	for _, part := range strings.Split(aggregates, ",") {
		name, count, _ := strings.Cut(part, "=")
		shards, err := strconv.Atoi(count)
		if err != nil || name == "" || shards < 1 {
			return nil, fmt.Errorf("-shards has %q: write name=shards, such as account=16", part)
		}
		for n := range shards {
			c.Shards = append(c.Shards, placement.Shard{ShardID: placement.ShardID{Aggregate: name, Number: n}})
		}
	}
	return c, c.check()
}

// carryOut makes a plan's moves come true, and gives them back.
func (c *cluster) carryOut(plan placement.Plan) []placement.Move {
	owners := make(map[placement.ShardID]string, len(plan.Assign))
	for _, move := range plan.Assign {
		owners[move.Shard] = move.To
	}
	for i, s := range c.Shards {
		if to, moves := owners[s.ShardID]; moves {
			c.Shards[i].Owner, c.Shards[i].Moving = to, false
		}
	}
	return plan.Assign
}

func nameOf(id placement.ShardID) string { return fmt.Sprintf("%s-%d", id.Aggregate, id.Number) }
