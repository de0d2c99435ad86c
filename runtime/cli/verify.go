package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// loggedEvent is every column of an event, as the stream gives it.
type loggedEvent struct {
	streamEvent
	AggregateID  int32     `json:"aggregateId"`
	TypeVersion  int32     `json:"typeVersion"`
	CommandID    string    `json:"commandId"`
	RequestHash  string    `json:"requestHash"`
	Generation   int64     `json:"generation"`
	Epoch        int64     `json:"epoch"`
	Principal    string    `json:"principal"`
	RecordedTime time.Time `json:"recordedTime"`
	Hash         string    `json:"hash"`
}

// verified is what the walk over one aggregate found.
type verified struct {
	Aggregate string   `json:"aggregate"`
	Shards    int      `json:"shards"`
	Events    int64    `json:"events"`
	Entities  int      `json:"entities"`
	Failures  []string `json:"failures"`
}

// maxFailures is how many failures are told of one aggregate.
const maxFailures = 20

func newVerify() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check every hash chain and sequence",
		Long: `Read every event and check, without trusting the server, that each shard's
sequence is 1..head without gap, that its hash chain holds, that no epoch goes
back, and that each entity's versions are 1..n. Exit code 1 if anything is wrong.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			results, err := c.client().verify(cmd.Context())
			if err != nil {
				return err
			}
			answer, err := json.Marshal(map[string]any{"aggregates": results})
			if err != nil {
				return err
			}
			if err := c.print(cmd.OutOrStdout(), answer, func(w io.Writer) error { return writeVerified(w, results) }); err != nil {
				return err
			}
			for _, r := range results {
				if len(r.Failures) > 0 {
					return errSilent
				}
			}
			return nil
		}),
	}
	c.flags(cmd)
	return cmd
}

func writeVerified(w io.Writer, results []verified) error {
	rows := make([][]string, 0, len(results))
	for _, r := range results {
		verdict := "ok"
		if len(r.Failures) > 0 {
			verdict = "BROKEN"
		}
		rows = append(rows, []string{r.Aggregate, fmt.Sprint(r.Shards), fmt.Sprint(r.Entities), fmt.Sprint(r.Events), verdict})
	}
	if err := writeTable(w, []string{"AGGREGATE", "SHARDS", "ENTITIES", "EVENTS", "VERDICT"}, rows); err != nil {
		return err
	}
	for _, r := range results {
		for _, f := range r.Failures {
			_, _ = fmt.Fprintf(w, "%s: %s\n", r.Aggregate, f)
		}
	}
	return nil
}

// verify walks all aggregates. The heads are taken before the walk: the stream
// must reach them, and whatever is appended meanwhile only continues them.
func (c *client) verify(ctx context.Context) ([]verified, error) {
	_, shards, err := c.shards(ctx)
	if err != nil {
		return nil, err
	}
	byAggregate := map[string][]shardRow{}
	for _, s := range shards {
		byAggregate[s.Aggregate] = append(byAggregate[s.Aggregate], s)
	}
	names := make([]string, 0, len(byAggregate))
	for name := range byAggregate {
		names = append(names, name)
	}
	sort.Strings(names)
	results := make([]verified, 0, len(names))
	for _, name := range names {
		w := newWalk(name, byAggregate[name])
		var failure *problemError
		switch err := c.pages(ctx, name, "", w.page); {
		case err == nil:
			w.heads()
		case errors.As(err, &failure) && failure.Status == http.StatusInternalServerError:
			w.fail("the stream cannot be read to its end: %s", failure.Detail)
		default:
			return nil, err
		}
		results = append(results, w.result)
	}
	return results, nil
}

// walk checks one aggregate's stream as it comes.
type walk struct {
	result   verified
	chains   map[int32]*chain
	versions map[string]int64
}

// chain is how far one shard has been checked; broken ends its checks, for one
// break makes all that follows look broken.
type chain struct {
	// want is the shard's row, as told before the walk.
	want   shardRow
	head   int64
	hash   eventstore.Hash
	epoch  int64
	broken bool
}

func newWalk(aggregate string, shards []shardRow) *walk {
	w := &walk{
		result:   verified{Aggregate: aggregate, Shards: len(shards), Failures: []string{}},
		chains:   make(map[int32]*chain, len(shards)),
		versions: map[string]int64{},
	}
	for _, s := range shards {
		w.chains[s.Shard] = &chain{want: s}
	}
	return w
}

func (w *walk) fail(format string, args ...any) {
	if len(w.result.Failures) < maxFailures {
		w.result.Failures = append(w.result.Failures, fmt.Sprintf(format, args...))
	}
}

func (w *walk) page(events []json.RawMessage) error {
	for _, raw := range events {
		var e loggedEvent
		if err := json.Unmarshal(raw, &e); err != nil {
			return fmt.Errorf("an event of the stream is not readable: %w", err)
		}
		w.result.Events++
		w.event(&e)
	}
	return nil
}

func (w *walk) event(e *loggedEvent) {
	if e.Version != w.versions[e.Entity]+1 {
		w.fail("entity %q: version %d follows %d", e.Entity, e.Version, w.versions[e.Entity])
	}
	w.versions[e.Entity] = e.Version
	w.result.Entities = len(w.versions)
	s := w.chains[e.Shard]
	if s == nil {
		w.fail("shard %d: has events, but no row", e.Shard)
		return
	}
	if s.broken {
		return
	}
	if e.Seq != s.head+1 {
		s.broken = true
		w.fail("shard %d: seq %d follows %d", e.Shard, e.Seq, s.head)
		return
	}
	if e.Epoch < s.epoch {
		w.fail("shard %d: seq %d has epoch %d, after epoch %d", e.Shard, e.Seq, e.Epoch, s.epoch)
	}
	hash, err := e.link(s.hash)
	if err != nil || hash.String() != e.Hash {
		s.broken = true
		w.fail("shard %d: the hash chain breaks at seq %d (entity %q version %d)", e.Shard, e.Seq, e.Entity, e.Version)
		return
	}
	s.head, s.hash, s.epoch = e.Seq, hash, e.Epoch
	if s.head == s.want.Head && s.want.HeadHash != "" && s.want.HeadHash != e.Hash {
		w.fail("shard %d: the row's head hash is not that of seq %d", e.Shard, e.Seq)
	}
}

// link computes the event's hash from what the stream told.
func (e *loggedEvent) link(previous eventstore.Hash) (eventstore.Hash, error) {
	logged := eventstore.Event{
		Shard: eventstore.ShardID{Aggregate: eventstore.AggregateID(e.AggregateID), Number: e.Shard}, Seq: e.Seq, Entity: e.Entity, Version: e.Version, Epoch: e.Epoch,
		Type: e.Type, TypeVersion: e.TypeVersion, Data: e.Data,
		Meta:      eventstore.Meta{Time: e.Time, Principal: e.Principal},
		CommandID: e.CommandID, Generation: e.Generation, RecordedAt: e.RecordedTime,
	}
	if _, err := hex.Decode(logged.RequestHash[:], []byte(e.RequestHash)); err != nil || len(e.RequestHash) != 2*len(logged.RequestHash) {
		return eventstore.Hash{}, fmt.Errorf("request hash %q", e.RequestHash)
	}
	return logged.Link(previous)
}

// heads checks that each chain reached the head that its shard's row told before
// the walk.
func (w *walk) heads() {
	for number, s := range w.chains {
		if !s.broken && s.head < s.want.Head {
			w.fail("shard %d: the stream ends at seq %d, the shard's head is %d", number, s.head, s.want.Head)
		}
	}
}
