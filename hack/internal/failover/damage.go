package failover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"syscall"
	"time"

	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/hack/internal/cluster"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

// bystander is what the machine takes by itself: nodes that are namespaces of one
// machine share its processors with every container that starts.
func bystander(ctx context.Context, r *round) (time.Time, error) {
	at := time.Now()
	return at, r.bank.PassBy(ctx)
}

func kill(ctx context.Context, r *round) (time.Time, error) {
	return r.kill(ctx, r.victim)
}

// kill and killOperator kill a process, and have its restart waited for before the next
// round.
func (r *round) kill(ctx context.Context, p stage.Pod) (time.Time, error) {
	r.campaign.killed = append(r.campaign.killed, p)
	return r.bank.Kill(ctx, p)
}

func (r *round) killOperator(ctx context.Context, p stage.Pod) (time.Time, error) {
	r.campaign.killed = append(r.campaign.killed, p)
	return r.bank.KillOperator(ctx, p)
}

func cut(ctx context.Context, r *round) (time.Time, error) {
	return r.network(ctx, r.bank.Cluster.Cut)
}

func deafen(ctx context.Context, r *round) (time.Time, error) {
	return r.network(ctx, func(ctx context.Context, node string) error { return r.bank.Cluster.CutOneWay(ctx, node, cluster.In) })
}

func mute(ctx context.Context, r *round) (time.Time, error) {
	return r.network(ctx, func(ctx context.Context, node string) error { return r.bank.Cluster.CutOneWay(ctx, node, cluster.Out) })
}

// network does something to the victim's node, and heals it when the others serve
// its shards.
func (r *round) network(ctx context.Context, damage func(ctx context.Context, node string) error) (at time.Time, err error) {
	defer func() { err = errors.Join(err, r.bank.Cluster.Heal(context.WithoutCancel(ctx), r.victim.Node)) }()
	at = time.Now()
	if err := damage(ctx, r.victim.Node); err != nil {
		return at, err
	}
	// The commands that do it take their time, and answers still come meanwhile.
	r.done = time.Now()
	if err := r.written(ctx, r.done); err != nil {
		return at, err
	}
	return at, rest(ctx, afterTakeover)
}

// lose has packets of the victim's node get lost. Nobody may take that for a death.
func lose(ctx context.Context, r *round) (at time.Time, err error) {
	before, err := r.bank.Failovers(ctx)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, r.bank.Cluster.Heal(context.WithoutCancel(ctx), r.victim.Node)) }()
	at = time.Now()
	if err := r.bank.Cluster.Loss(ctx, r.victim.Node, 5); err != nil {
		return at, err
	}
	length := 5 * time.Minute
	if r.short {
		length = 20 * time.Second
	}
	if err := rest(ctx, length); err != nil {
		return at, err
	}
	after, err := r.bank.Failovers(ctx)
	if err == nil && !maps.Equal(before, after) {
		err = fmt.Errorf("shards were taken over: %v, before %v", after, before)
	}
	return at, err
}

// freeze has the victim go on when the others serve its shards: what it has under
// way comes late then.
func freeze(ctx context.Context, r *round) (at time.Time, err error) {
	if at, err = r.bank.Signal(ctx, r.victim, syscall.SIGSTOP); err != nil {
		return at, err
	}
	defer func() {
		_, thawed := r.bank.Signal(context.WithoutCancel(ctx), r.victim, syscall.SIGCONT)
		err = errors.Join(err, thawed)
	}()
	if err := r.written(ctx, at); err != nil {
		return at, err
	}
	return at, rest(ctx, afterTakeover)
}

// breakable has the bank run on the build that makes a part of itself fail when it
// is asked to; it is the same in all else.
func breakable(ctx context.Context, c *Campaign) (undo func(context.Context) error, err error) {
	image, err := c.Bank.FaultyImage(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return c.Bank.UseImage(ctx, "") }, c.Bank.UseImage(ctx, image)
}

// panicShards makes some of the victim's shards panic. A fault is over when each is
// served under a higher epoch.
func panicShards(ctx context.Context, r *round) (time.Time, error) {
	before, err := r.bank.Epochs(ctx)
	if err != nil {
		return time.Time{}, err
	}
	r.shards = r.shards[:(len(r.shards)+1)/2]
	at := time.Now()
	for _, shard := range r.shards {
		if err := r.bank.Panic(ctx, r.victim, shard); err != nil {
			return at, err
		}
	}
	return at, eventually(ctx, func() error {
		now, err := r.bank.Epochs(ctx)
		for _, shard := range r.shards {
			if name := fmt.Sprintf("account-%d", shard); err == nil && now[name] == before[name] {
				err = fmt.Errorf("shard %s is still in epoch %s", name, now[name])
			}
		}
		return err
	})
}

// stall makes one shard panic wherever it is served, until nothing more is tried. The
// others must not notice. Then the aggregate changes, and it is tried again.
func stall(ctx context.Context, r *round) (time.Time, error) {
	before, err := r.bank.Failovers(ctx)
	if err != nil {
		return time.Time{}, err
	}
	r.shards = r.shards[:1]
	name := fmt.Sprintf("account-%d", r.shards[0])
	panicking, stop := context.WithCancel(ctx)
	defer stop()
	for _, p := range r.pods {
		go func() {
			for rest(panicking, 20*time.Millisecond) == nil {
				_ = r.bank.Panic(panicking, p, r.shards[0]) // refused where the shard is not
			}
		}()
	}
	err = eventually(ctx, func() error {
		got, err := r.bank.Stalled(ctx, name)
		if err == nil && got != v1alpha1.ReasonRestartsExhausted {
			err = fmt.Errorf("shard %s says %q, and not that it is stalled", name, got)
		}
		return err
	})
	stop()
	after, failed := r.bank.Failovers(ctx)
	at := time.Now()
	err = errors.Join(err, failed, r.bank.Amend(ctx))
	if err != nil {
		return at, err
	}
	if after[name] = before[name]; !maps.Equal(before, after) {
		return at, fmt.Errorf("other shards failed over: %v, before %v", after, before)
	}
	return at, nil
}

func deletePod(ctx context.Context, r *round) (time.Time, error) {
	at := time.Now()
	if err := r.bank.DeletePod(ctx, r.victim); err != nil {
		return at, err
	}
	return at, r.bank.AwaitGone(ctx, r.victim)
}

func roll(ctx context.Context, r *round) (time.Time, error) {
	at := time.Now()
	return at, r.bank.Roll(ctx)
}

func rescale(ctx context.Context, r *round) (time.Time, error) {
	at := time.Now()
	for _, n := range []int{5, 2, 3} {
		if err := r.bank.Scale(ctx, n); err != nil {
			return at, err
		}
		if err := eventually(ctx, func() error { return r.campaign.shared(ctx, n) }); err != nil {
			return at, err
		}
	}
	return at, nil
}

func drainNode(ctx context.Context, r *round) (at time.Time, err error) {
	defer func() {
		_, back := r.bank.Stage.Kubectl(context.WithoutCancel(ctx), "uncordon", r.victim.Node)
		err = errors.Join(err, back)
	}()
	at = time.Now()
	_, err = r.bank.Stage.Kubectl(ctx, "drain", r.victim.Node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s",
		"--pod-selector=leftfold.io/runtime=bank")
	return at, err
}

func killLeader(ctx context.Context, r *round) (time.Time, error) {
	before, err := r.bank.Holder(ctx)
	if err != nil {
		return time.Time{}, err
	}
	leader, err := r.bank.Leader(ctx)
	if err != nil {
		return time.Time{}, err
	}
	at, err := r.killOperator(ctx, leader)
	if err != nil {
		return at, err
	}
	return at, eventually(ctx, func() error {
		now, err := r.bank.Holder(ctx)
		if err == nil && (now == before || now == "") {
			err = fmt.Errorf("%q holds the lease", now)
		}
		return err
	})
}

func killWithLeader(ctx context.Context, r *round) (time.Time, error) {
	leader, err := r.bank.Leader(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := r.killOperator(ctx, leader); err != nil {
		return time.Time{}, err
	}
	return r.kill(ctx, r.victim)
}

// leaveAlone takes all away that might decide: pods must take the orphans over by
// themselves. When the operator is back it may give shards to the pod that has none,
// and must move nothing else.
func leaveAlone(ctx context.Context, r *round) (at time.Time, err error) {
	operators, err := r.bank.OperatorPods(ctx)
	if err != nil {
		return at, err
	}
	before, err := r.bank.Owners(ctx)
	if err != nil {
		return at, err
	}
	if err := r.bank.Cluster.KillAPI(); err != nil {
		return at, err
	}
	defer func() { err = errors.Join(err, r.returned(context.WithoutCancel(ctx), before)) }()
	for _, p := range operators {
		if _, err := r.killOperator(ctx, p); err != nil {
			return at, err
		}
	}
	if at, err = r.kill(ctx, r.victim); err != nil {
		return at, err
	}
	return at, r.written(ctx, at)
}

// returned brings the API server back, and waits until the operator has done what it
// had to.
func (r *round) returned(ctx context.Context, before map[string]string) error {
	if err := r.bank.Cluster.StartAPI(ctx); err != nil {
		return err
	}
	if err := eventually(ctx, func() error { return r.campaign.shared(ctx, len(r.pods)) }); err != nil {
		return err
	}
	after, err := r.bank.Owners(ctx)
	for shard, owner := range after {
		if was := before[shard]; was != r.victim.Name && owner != was && owner != r.victim.Name {
			err = errors.Join(err, fmt.Errorf("shard %s moved from %s to %s for no reason", shard, was, owner))
		}
	}
	return err
}

// database counts from when it takes connections again. No pod may have been
// restarted.
func database(ctx context.Context, r *round) (time.Time, error) {
	length := 20 * time.Second
	if r.short {
		length = 5 * time.Second
	}
	if err := r.bank.Postgres.Crash(); err != nil {
		return time.Time{}, err
	}
	err := errors.Join(rest(ctx, length), r.bank.Postgres.Restart())
	back := time.Now()
	if err != nil {
		return back, err
	}
	if err := r.written(ctx, back); err != nil {
		return back, err
	}
	after, err := r.bank.Pods(ctx)
	if err != nil {
		return back, err
	}
	for i, p := range after {
		if i >= len(r.pods) || p.UID != r.pods[i].UID || p.Restarts != r.pods[i].Restarts {
			return back, fmt.Errorf("pods were restarted while the database was down: %v, before %v", after, r.pods)
		}
	}
	return back, nil
}

func killAll(ctx context.Context, r *round) (time.Time, error) {
	operators, err := r.bank.OperatorPods(ctx)
	if err != nil {
		return time.Time{}, err
	}
	at := time.Now()
	for _, p := range operators {
		if _, err := r.killOperator(ctx, p); err != nil {
			return at, err
		}
	}
	for _, p := range r.pods {
		if _, err := r.kill(ctx, p); err != nil {
			return at, err
		}
	}
	return at, nil
}

// urls are the pods' own, of those that are wanted.
func urls(pods []stage.Pod, want func(stage.Pod) bool) []string {
	var urls []string
	for _, p := range pods {
		if want(p) {
			urls = append(urls, p.URL())
		}
	}
	return urls
}
