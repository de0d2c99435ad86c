package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
	"github.com/leftfold/leftfold/hack/internal/stage"
	"github.com/leftfold/leftfold/hack/internal/witness"
)

const (
	// The load: connections and readers that rest between two calls, and in each of
	// 16 shards a deposit, the next one so long after its answer: pulseEvery where it
	// tells how soon shards are served again after a failure; restfulPulse where it
	// waits for planned moves, for its rest is no part of a pause.
	accounts, connections, readers  = 32, 4, 2
	rests, pulseEvery, restfulPulse = 100 * time.Millisecond, 40 * time.Millisecond, 100 * time.Millisecond

	// settleIn is how long a bank that has only just been made is at work before
	// anything happens to it, and warmUp how long the load runs before each fault, so
	// that what the fault finds under way is usual; afterTakeover how long a damage
	// stays when others serve the shards; afterwards how long the load goes on.
	settleIn, warmUp, afterTakeover, afterwards = 5 * time.Second, time.Second, 500 * time.Millisecond, time.Second

	// patience bounds every wait for something that must come.
	patience = 2 * time.Minute

	// blockRounds is after how many rounds the customers rest and everything is
	// compared: books read the whole log then. blockFor is after what time they do all
	// the same: the keys of their first commands must still be remembered, which the
	// bank does for ten minutes, and the longest round takes five.
	blockRounds, blockFor = 10, 4 * time.Minute
)

// Campaign is one bank to which faults happen.
type Campaign struct {
	Bank *stage.Bank
	// Binary is the leftfold that verifies.
	Binary string
	// Log is told of every round.
	Log  io.Writer
	Seed uint64
	// Short makes the long faults brief.
	Short bool

	block int
	// killed are the pods whose processes were killed, as they were before.
	killed []stage.Pod
}

// round is one fault, happening.
type round struct {
	campaign *Campaign
	bank     *stage.Bank
	short    bool
	pods     []stage.Pod
	victim   stage.Pod
	// shards are those that fail with the victim.
	shards []int
	// done is when the fault was there, if that is later than it began.
	done    time.Time
	witness *witness.Witness
}

// Run does a fault to the bank, so many rounds. An error is one of the campaign's or
// of the bank's: something lost, doubled or answered from the past, a command that
// must not have failed, a shard that does not come back.
func (c *Campaign) Run(ctx context.Context, f *Fault, rounds int) (result *Result, err error) {
	result = &Result{Fault: f}
	defer func() {
		result.sort()
		if err != nil {
			err = fmt.Errorf("%s, after %d rounds: %w", f.Title, result.Rounds, err)
		}
	}()
	if f.prepare != nil {
		undo, failed := f.prepare(ctx, c)
		if failed != nil {
			return result, failed
		}
		defer func() { err = errors.Join(err, undo(context.WithoutCancel(ctx))) }()
	}
	for result.Rounds < rounds {
		if err := c.runBlock(ctx, f, min(blockRounds, rounds-result.Rounds), result); err != nil {
			return result, err
		}
	}
	return result, nil
}

func (c *Campaign) runBlock(ctx context.Context, f *Fault, rounds int, result *Result) error {
	if _, err := c.settled(ctx); err != nil {
		return err
	}
	service, err := c.Bank.ServiceURL(ctx)
	if err != nil {
		return err
	}
	c.block++
	w, err := witness.Open(ctx, witness.Config{
		Doors: []string{service}, Run: fmt.Sprintf("f%d-%d", c.Seed%1e6, c.block),
		Accounts: accounts, Connections: connections, Readers: readers,
		Rest: rests, PulseEvery: f.pulse(), Binary: c.Binary,
	})
	if err != nil {
		return err
	}
	live, end := context.WithCancel(ctx)
	var living sync.WaitGroup
	living.Go(func() { w.Live(live, c.Seed+uint64(c.block)) })
	if c.block == 1 {
		err = rest(ctx, settleIn)
	}
	for began, i := time.Now(), 0; i < rounds && err == nil && time.Since(began) < blockFor; i++ {
		err = c.round(ctx, f, w, service, result)
	}
	end()
	living.Wait()
	w.Enter(service)
	return errors.Join(err, c.compare(ctx, f, w, result))
}

// compare settles what is open and holds what the customers know against the bank.
func (c *Campaign) compare(ctx context.Context, f *Fault, w *witness.Witness, result *Result) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := w.Books.Settle(ctx); err != nil {
		return err
	}
	totals, counts, err := w.Compare(ctx)
	result.Accepted += totals.Accepted
	result.Refused += totals.Refused
	result.Judged.Add(counts)
	var wrong []error
	for _, failure := range w.Books.Failures() {
		excused := retry
		if failure.Err != nil {
			excused = connection
			result.Broken++
		} else {
			result.Unanswered++
		}
		if f.excused < excused {
			wrong = append(wrong, fmt.Errorf("%s %v", failure.At.Format(time.TimeOnly+".000"), failure))
		}
	}
	if len(wrong) > 0 {
		err = errors.Join(err, fmt.Errorf("%d commands failed that must not, such as %w", len(wrong), errors.Join(wrong[:min(len(wrong), 10)]...)))
	}
	return err
}

func (c *Campaign) round(ctx context.Context, f *Fault, w *witness.Witness, service string, result *Result) error {
	r, err := c.prepare(ctx, f, w, service)
	if err != nil {
		return err
	}
	if err := rest(ctx, warmUp); err != nil {
		return err
	}
	answered := len(w.Books.Waits())
	at, err := f.do(ctx, r)
	if r.done.Before(at) {
		r.done = at
	}
	if err == nil {
		err = r.written(ctx, r.done)
	}
	if err == nil {
		err = c.Bank.AwaitReady(ctx, 90*time.Second)
	}
	if err == nil { // what comes back is given shards: these moves are the round's
		err = eventually(ctx, func() error { return c.shared(ctx, len(r.pods)) })
	}
	if err == nil {
		err = rest(ctx, afterwards)
	}
	if err != nil {
		return err
	}
	gaps, err := w.Pulse.Gaps(at)
	if err != nil {
		return err
	}
	said, err := c.Bank.OperatorLog(ctx, at)
	if err == nil {
		err = r.written(ctx, time.Now()) // each shard that moved by then has a write after it
	}
	if err != nil {
		return err
	}
	s := measure(r, at, gaps, w.Pulse.Resumed(r.done.Add(onItsWay)), said)
	if s.Pauses, err = pauses(w.Pulse, said); err != nil {
		return err
	}
	s.Commands = w.Books.Waits()[answered:]
	result.add(s)
	_, _ = fmt.Fprintf(c.Log, "%s %d: %s\n", f.Name, result.Rounds, s)
	return nil
}

// prepare waits until the bank is as it should be, chooses who suffers, and sends
// the customers to the doors that they use in this round.
func (c *Campaign) prepare(ctx context.Context, f *Fault, w *witness.Witness, service string) (*round, error) {
	owned, err := c.settled(ctx)
	if err != nil {
		return nil, err
	}
	r := &round{campaign: c, bank: c.Bank, short: c.Short, witness: w}
	if r.pods, err = c.Bank.Pods(ctx); err != nil {
		return nil, err
	}
	leader, err := c.Bank.Leader(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(r.pods, func(p stage.Pod) bool { return !f.apart || p.Node != leader.Node })
	if i < 0 {
		return nil, fmt.Errorf("all pods are on the leader's node: %v", r.pods)
	}
	r.victim = r.pods[i]
	r.shards = owned[r.victim.Name]
	// The pulse, which tells when shards are served, comes in by those that live
	// through the fault: elsewhere it would measure its own patience.
	others := urls(r.pods, func(p stage.Pod) bool { return p.Name != r.victim.Name && p.Node != r.victim.Node })
	switch f.doors {
	case ofNone:
		w.Pulse.Enter(service)
		w.Enter(service)
	case ofAll:
		w.Pulse.Enter(others...)
		w.Enter(append([]string{service}, urls(r.pods, func(stage.Pod) bool { return true })...)...)
	default:
		w.Pulse.Enter(others...)
		w.Enter(append([]string{service}, others...)...)
	}
	return r, nil
}

// settled waits until the bank has three fresh pods that share its shards, and the
// operator two. A container that was killed is started again at once, but one that
// is killed twice has to wait for longer and longer: so pods are replaced first.
// It gives the shards of each pod.
func (c *Campaign) settled(ctx context.Context) (map[string][]int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var replaced []string
	var unrest error
	for {
		owned, pods, err := c.look(ctx)
		if err == nil {
			return owned, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the bank does not come to rest: %w\n%s", unrest, c.Bank.Describe(context.WithoutCancel(ctx)))
		}
		unrest = err
		for _, p := range pods {
			if p.Restarts == 0 || p.Deleted || slices.Contains(replaced, p.Name) {
				continue
			}
			replaced = append(replaced, p.Name)
			if err := c.Bank.DeletePod(ctx, p); err != nil {
				return nil, err
			}
		}
		_ = rest(ctx, 200*time.Millisecond) // whose end look finds
	}
}

// look tells what each pod owns, or what is not yet as it should be, with all pods.
func (c *Campaign) look(ctx context.Context) (map[string][]int, []stage.Pod, error) {
	pods, err := c.Bank.Pods(ctx)
	if err != nil {
		return nil, nil, err
	}
	operators, err := c.Bank.OperatorPods(ctx)
	if err != nil {
		return nil, nil, err
	}
	all := slices.Concat(pods, operators)
	if len(pods) != 3 || len(operators) != 2 {
		return nil, all, fmt.Errorf("%d runtime pods and %d of the operator", len(pods), len(operators))
	}
	for _, p := range all {
		if slices.ContainsFunc(c.killed, func(k stage.Pod) bool { return k.UID == p.UID && k.Restarts == p.Restarts }) {
			return nil, all, fmt.Errorf("the cluster does not know yet that pod %s was restarted", p.Name)
		}
		if !p.Ready || p.Deleted || p.Restarts > 0 {
			return nil, all, fmt.Errorf("pod %s: ready %t, deleted %t, %d restarts", p.Name, p.Ready, p.Deleted, p.Restarts)
		}
	}
	if _, err := c.Bank.Leader(ctx); err != nil {
		return nil, all, err
	}
	owned, err := c.owned(ctx, pods)
	return owned, all, err
}

// shared tells what is not yet so: that there are n pods, all ready, who share all
// shards.
func (c *Campaign) shared(ctx context.Context, n int) error {
	pods, err := c.Bank.Pods(ctx)
	if err != nil {
		return err
	}
	if len(pods) != n {
		return fmt.Errorf("%d pods, want %d", len(pods), n)
	}
	for _, p := range pods {
		if !p.Ready || p.Deleted || p.Revision != pods[0].Revision {
			return fmt.Errorf("pod %s: ready %t, deleted %t, revision %s", p.Name, p.Ready, p.Deleted, p.Revision)
		}
	}
	_, err = c.owned(ctx, pods)
	return err
}

// owned gives the shards of each pod, and tells when they do not share them evenly.
func (c *Campaign) owned(ctx context.Context, pods []stage.Pod) (map[string][]int, error) {
	owners, err := c.Bank.Owners(ctx)
	if err != nil {
		return nil, err
	}
	owned := map[string][]int{}
	for shard, pod := range owners {
		number := 0
		if _, err := fmt.Sscanf(shard[strings.LastIndexByte(shard, '-'):], "-%d", &number); err != nil {
			return nil, fmt.Errorf("shard %q has no number", shard)
		}
		owned[pod] = append(owned[pod], number)
	}
	total := 0
	for _, p := range pods {
		if fair := len(owners) / len(pods); len(owned[p.Name]) < fair/2 {
			return nil, fmt.Errorf("pod %s owns %d of %d shards", p.Name, len(owned[p.Name]), len(owners))
		}
		total += len(owned[p.Name])
	}
	if total != len(owners) {
		return nil, fmt.Errorf("%d of %d shards are owned by these pods: %v", total, len(owners), owners)
	}
	return owned, nil
}

// eventually asks again and again until check gives no error.
func eventually(ctx context.Context, check func() error) error {
	return stage.Await(ctx, patience, func(context.Context) error { return check() })
}

// written waits until every shard has answered a write after the moment.
func (r *round) written(ctx context.Context, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for r.witness.Pulse.Resumed(since.Add(onItsWay)) == nil {
		if err := rest(ctx, 5*time.Millisecond); err != nil {
			failures := r.witness.Books.Failures()
			return fmt.Errorf("not every shard takes writes after %s; the last failures: %v", patience, failures[max(0, len(failures)-5):])
		}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// onItsWay is how long after a fault an answer may still come of the one that fails:
// requests have reached it.
const onItsWay = 100 * time.Millisecond

// pauses gives for each planned move how long callers of its shard had to wait.
func pauses(pulse *ledger.Pulse, said []stage.Said) (list []time.Duration, err error) {
	for _, line := range said {
		if !line.Moved {
			continue
		}
		pause, err := pulse.Pause(line.Shard, line.At.Add(-line.Took), line.At)
		if err != nil {
			return nil, err
		}
		list = append(list, pause)
	}
	return list, nil
}

// measure puts a round together. gaps and resumed are by number of the shard.
func measure(r *round, at time.Time, gaps []ledger.Gap, resumed []time.Time, said []stage.Said) Sample {
	s := Sample{Shards: len(r.shards)}
	for _, g := range gaps {
		s.Gaps = append(s.Gaps, g.Took)
	}
	for _, shard := range r.shards {
		s.Written = append(s.Written, resumed[shard].Sub(at))
	}
	for _, line := range said {
		after := line.At.Sub(at)
		switch {
		case line.Verdict != "" && line.Pod == r.victim.Name:
			if s.Noticed == 0 {
				s.Noticed = after
			}
		case line.FailedOver && slices.Contains(r.shards, line.Shard):
			s.Reassigned = append(s.Reassigned, after)
		case line.Moved:
			s.Moved = append(s.Moved, line.Took)
		}
	}
	return s
}
