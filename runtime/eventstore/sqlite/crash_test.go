package sqlite_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/eventstore/sqlite"
	"github.com/leftfold/leftfold/runtime/eventstore/storetest"
)

// appenderDir, when set, makes the test binary the process that the crash test
// kills (see TestMain).
const appenderDir = "LEFTFOLD_TEST_APPENDER_DIR"

// appendForEver prints the head of its shard after each append that was
// acknowledged, until it is killed or something fails.
func appendForEver(dir string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Options{Dir: dir})
	if err != nil {
		return err
	}
	o, err := take(ctx, s)
	if err != nil {
		return err
	}
	for {
		if r := o.append(ctx, s, 7); r.Status != eventstore.Appended {
			return r.Err
		}
		fmt.Println("head", o.head)
	}
}

// owner appends linked events of one entity to shard 0 of the aggregate.
type owner struct {
	lease eventstore.Lease
	head  int64
	hash  eventstore.Hash
}

func own(t *testing.T, s eventstore.Store) *owner {
	t.Helper()
	o, err := take(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func take(ctx context.Context, s eventstore.Store) (*owner, error) {
	a, err := s.EnsureAggregate(ctx, "account", 1)
	if err != nil {
		return nil, err
	}
	id := eventstore.ShardID{Aggregate: a.ID}
	row, err := s.Shard(ctx, id)
	if err == nil {
		row, err = s.Claim(ctx, eventstore.ClaimRequest{Shard: id, Expected: row.Epoch, Owner: "one", Token: eventstore.Token{byte(row.Epoch), 1}})
	}
	if err != nil {
		return nil, err
	}
	return &owner{row.Lease, row.Head, row.HeadHash}, nil
}

func (o *owner) batch(events int) eventstore.Batch {
	b := eventstore.Batch{Lease: o.lease, Head: o.head, HeadHash: o.hash}
	prev := o.hash
	for i := range events {
		seq := o.head + int64(i) + 1
		at := time.UnixMicro(1_767_225_600_000_000 + seq)
		e := eventstore.Event{
			Shard: o.lease.Shard, Seq: seq, Entity: "a", Version: seq, Epoch: o.lease.Epoch, Type: "Deposited", TypeVersion: 1,
			Data: json.RawMessage(`{"amount":1}`), Meta: eventstore.Meta{Time: at}, RecordedAt: at, CommandID: strconv.FormatInt(seq, 10),
		}
		e.Hash, _ = e.Link(prev) // the data is an object and the times are whole
		prev = e.Hash
		b.Events = append(b.Events, e)
	}
	return b
}

func (o *owner) append(ctx context.Context, s eventstore.Store, events int) eventstore.AppendResult {
	b := o.batch(events)
	r := s.Append(ctx, []eventstore.Batch{b})[0]
	if r.Status == eventstore.Appended {
		last := b.Events[events-1]
		o.head, o.hash = last.Seq, last.Hash
	}
	return r
}

func TestKillLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acknowledged := int64(0)
	for round := range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), appenderDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for heads := 0; heads < 10*(round+1) && lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "head "); ok {
				acknowledged, _ = strconv.ParseInt(text, 10, 64)
				heads++
			}
		}
		wantInUse(t, dir, child.Process.Pid)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it could still say before it died
			if text, ok := strings.CutPrefix(lines.Text(), "head "); ok {
				acknowledged, _ = strconv.ParseInt(text, 10, 64)
			}
		}
		_ = child.Wait() // killed

		s := open(t, dir)
		if o := own(t, s); o.head < acknowledged || acknowledged == 0 || o.head%7 != 0 {
			t.Fatalf("round %d: the head is %d, acknowledged was %d", round, o.head, acknowledged)
		}
		storetest.CheckInvariants(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantInUse fails unless the folder is refused with the id of its process.
func wantInUse(t *testing.T, dir string, pid int) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Dir: dir, LockWait: -1})
	if err == nil {
		s.Close()
		t.Fatal("two processes have the folder")
	}
	if want := fmt.Sprintf("process %d", pid); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not name %s", err, want)
	}
}
