package server_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/leftfold/leftfold/api/identity"
	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control"
	"github.com/leftfold/leftfold/runtime/control/controltest"
	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/server"
)

const (
	serving  = leftfoldv1.ShardState_SHARD_STATE_SERVING
	released = leftfoldv1.ShardState_SHARD_STATE_RELEASED
	refused  = leftfoldv1.ShardState_SHARD_STATE_REFUSED
	failed   = leftfoldv1.ShardState_SHARD_STATE_FAILED
)

// probeShards is how many shards the aggregate of the tests has.
const probeShards = 4

// fleet is what the pods of one Runtime share.
type fleet struct {
	place     place
	authority *controltest.Authority
	name      string
	count     int
}

func newFleet(t *testing.T, p place) *fleet {
	return &fleet{place: p, authority: controltest.NewAuthority(t), name: identity.RuntimeName("default", "main")}
}

// managedRig is one pod of it.
type managedRig struct {
	rig
	*server.Managed
	fleet *fleet
	uid   string
	term  int64
}

// start makes another pod, with definitions in force. It has no operator.
func (f *fleet) start(t *testing.T, set *definition.Set, options ...func(*server.ManagedConfig)) *managedRig {
	t.Helper()
	f.count++
	r := &managedRig{fleet: f, uid: fmt.Sprintf("uid-%d", f.count)}
	cfg := server.ManagedConfig{
		Namespace: "default", Runtime: "main", PodUID: r.uid, Identity: f.authority.Identity(f.name),
		Listen: "127.0.0.1:0", Ops: "127.0.0.1:0", RPC: "127.0.0.1:0",
		Data: f.place.data, Store: f.place.url, Schema: f.place.schema, Version: "test", Logger: logger(t),
	}
	for _, o := range options {
		o(&cfg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	m, err := server.StartManaged(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Managed = m
	r.rig = rig{Server: m.Server, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	t.Cleanup(func() { r.end(t, m.Stop) })
	if set != nil {
		if err := m.Apply(ctx, set); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *managedRig) end(t *testing.T, end func() error) {
	t.Helper()
	r.client.CloseIdleConnections()
	if err := end(); err != nil {
		t.Errorf("the end of a pod: %v", err)
	}
}

// operator is the leader of the next term, and goes on pinging.
func (r *managedRig) operator(t *testing.T) *controltest.Operator {
	t.Helper()
	r.term++
	o := controltest.Dial(t, r.RPCAddress(), identity.ClientConfig(r.fleet.authority.Identity(identity.OperatorName), r.fleet.name), r.term, r.uid)
	o.Until("the welcome and the first survey", func(s *controltest.Seen) bool { return s.Welcome != nil && s.Surveys > 0 })
	o.Live()
	return o
}

// grantAll gives a pod all shards, from the epochs that the store tells.
func grantAll(o *controltest.Operator) {
	for _, s := range o.Survey().GetShards() {
		o.Grant(s.GetShard().GetAggregate(), s.GetShard().GetNumber(), s.GetEpoch())
	}
	o.Until("all shards", func(s *controltest.Seen) bool { return count(s, serving) == probeShards })
}

func count(s *controltest.Seen, state leftfoldv1.ShardState) int {
	n := 0
	for _, r := range s.Shards {
		if r.GetState() == state {
			n++
		}
	}
	return n
}

func shardName(number int32) control.Shard { return control.Shard{Aggregate: "probe", Number: number} }

// brisk makes a pod that has no operator act soon.
func brisk(c *server.ManagedConfig) {
	c.HeartbeatInterval, c.HeartbeatTimeout = 100*time.Millisecond, 500*time.Millisecond
}
