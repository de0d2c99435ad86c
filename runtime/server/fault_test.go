//go:build faults

package server_test

import (
	"net/http"
	"strings"
	"testing"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/control/controltest"
)

func (r *managedRig) panics(t *testing.T, shard string) int {
	t.Helper()
	response, err := http.Post(r.rig.OpsURL()+"/faults/panic?aggregate=probe&shard="+shard, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestAShardThatPanicsIsReportedAndServedAgainWhenItIsGranted(t *testing.T) {
	onEachStore(t, func(t *testing.T, p place) {
		r := newFleet(t, p).start(t, probe(t))
		o := r.operator(t)
		grantAll(o)
		stop := traffic(t, r)
		for epoch := int64(1); epoch <= 3; epoch++ {
			if code := r.panics(t, "1"); code != http.StatusNoContent {
				t.Fatalf("the fault was answered %d", code)
			}
			got := o.Shard("probe", 1, failed)
			if got.GetEpoch() != epoch || got.GetCause() != leftfoldv1.FailureCause_FAILURE_CAUSE_PANICKED || !strings.Contains(got.GetDetail(), "asked for") {
				t.Errorf("the failure is reported as %v", got)
			}
			o.Grant("probe", 1, epoch)
			o.Until("the shard to be served again", func(s *controltest.Seen) bool {
				return s.Shards[shardName(1)].GetState() == serving && s.Shards[shardName(1)].GetEpoch() == epoch+1
			})
		}
		if t.Failed() {
			return
		}
		stop()
		if got := count(ptr(o.Seen()), serving); got != probeShards {
			t.Errorf("%d shards are served in the end", got)
		}
	})
}

func ptr[T any](v T) *T { return &v }

func TestACommandThatMakesItsShardPanicIsAnsweredAndSparesOthers(t *testing.T) {
	r := newFleet(t, postgresPlace(t)).start(t, probe(t))
	o := r.operator(t)
	grantAll(o)
	row{status: 500, reason: "BehaviorFailed", request: addTo("!panic")}.run(t, &r.rig)
	seen := o.Until("the failure", func(s *controltest.Seen) bool { return count(s, failed) == 1 })
	if got := count(&seen, serving); got != probeShards-1 {
		t.Errorf("%d shards are served beside the failed one", got)
	}
}

func TestAFailedShardComesBackWithoutAnOperatorToo(t *testing.T) {
	r := newFleet(t, postgresPlace(t)).start(t, probe(t), brisk)
	o := r.operator(t)
	grantAll(o)
	o.Close()
	if code := r.panics(t, "2"); code != http.StatusNoContent {
		t.Fatalf("the fault was answered %d", code)
	}
	r.serves(t, probeShards)
}
