package shard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Settling finds out what became of a batch with an unknown outcome. Nothing is
// sent meanwhile, and nothing is decided.
//
//	claim from my own epoch
//	 |- claimed: nobody was between, and the old epoch is fenced
//	 |    |- head and hash are the batch's last event's: it is in
//	 |    |- head and hash are those before it: it is not, and never will be
//	 |    '- anything else: the store went back
//	 '- refused: another process owns the shard, and its claim fenced the old
//	      epoch. The log at the batch's positions tells: its hashes are there, so
//	      it is in; or they are not, and never will be. The shard stops. A head
//	      below what was acknowledged: the store went back.

// claimed is the result of a claim.
type claimed struct {
	row  eventstore.ShardState
	lost bool // the shard has another owner
	// at is, when lost, the event at the first position of the batch in flight.
	at  []eventstore.Event
	err error
}

func (s *Shard) settle() {
	s.settling = true
	s.showState()
	expected := s.Lease().Epoch
	var head int64 = -1
	if s.inflight != nil && len(s.inflight.events) > 0 {
		head = s.inflight.sealed.Head
	}
	s.sent++
	n := s.sent
	s.aside(func() {
		c := s.host.claim(s.ctx, s.id, expected, forEver)
		for try := 0; c.lost && head >= 0 && s.ctx.Err() == nil; try++ {
			ctx, cancel := context.WithTimeout(s.ctx, s.limits().CallTimeout)
			c.at, c.err = s.host.cfg.Store.ReadShard(ctx, s.id, head, 1)
			cancel()
			if c.err == nil {
				break
			}
			pause(s.ctx, backoff(try))
		}
		s.post(func() { s.settled(n, c) })
	})
}

func (s *Shard) settled(n int64, c claimed) {
	if s.ended {
		return
	}
	s.settling = false
	b := s.inflight
	switch {
	case c.lost && c.err == nil && c.row.Head < s.head:
		s.wentBack(c.row) // whoever came after this owner has no less
		return
	case c.lost && c.err == nil:
		if b != nil && b.flying && len(c.at) > 0 && len(b.events) > 0 && c.at[0].Hash == b.events[0].Hash {
			s.appended(b)
		} else if b != nil {
			b.flying = false
		}
		s.lose("another process claimed it")
		return
	case c.err != nil && s.ctx.Err() != nil:
		s.end(ErrClosed) // which is why the claim failed
		return
	case c.err != nil:
		s.end(fmt.Errorf("settle an append: %w", c.err))
		return
	}
	s.renew(c.row)
	if f := s.host.cfg.OnRenewed; f != nil {
		f(s, c.row.Epoch)
	}
	s.confirmed = max(s.confirmed, n)
	last := s.headHash
	if len(b.events) > 0 {
		last = b.events[len(b.events)-1].Hash
	}
	switch {
	case b.flying && len(b.events) > 0 && c.row.Head == s.head+int64(len(b.events)) && c.row.HeadHash == last:
		s.log.Info("the append with an unknown outcome is in", slog.Int64("epoch", c.row.Epoch))
		s.appended(b)
	case c.row.Head != s.head || c.row.HeadHash != s.headHash:
		s.wentBack(c.row)
		return
	case !b.flying:
		s.reload()
	default:
		// Outcome rows do not show in the head. Sending them again does no harm,
		// but if that has to be given up, their callers are not told "nothing".
		b.flying, b.unsure = false, b.unsure || len(b.events) == 0
		s.log.Info("the append with an unknown outcome is not in; sending it again", slog.Int64("epoch", c.row.Epoch))
		if b.failed.IsZero() {
			b.failed = time.Now()
		}
		if removed(resendGuard) {
			s.skip(b)
		} else if !s.patience(b).After(time.Now()) {
			s.giveUp(b)
		} else {
			s.dispatch(b)
		}
	}
	s.releaseWaiters()
	s.showState()
}

// renew takes over a new lease.
func (s *Shard) renew(row eventstore.ShardState) {
	lease := row.Lease
	s.lease.Store(&lease)
	s.revoked = false
}

// A shard that meets so many conflicts in a row, each after loading everything
// anew, has a store whose rows contradict its own head.
const maxConflicts = 3

// reload forgets everything that is in memory, after a conflict.
func (s *Shard) reload() {
	s.conflicts++
	if s.conflicts > maxConflicts {
		s.end(fmt.Errorf("%w: its rows contradict its head, again and again", ErrStoreWentBack))
		return
	}
	inflight, later := s.dropSpeculation()
	for _, e := range s.entities {
		if e.phase == ready {
			s.forget(e)
		}
	}
	s.decideAgain(append(inflight, later...))
	s.scheduleAll()
}

// wentBack stops the shard: the store has lost what it had acknowledged.
func (s *Shard) wentBack(row eventstore.ShardState) {
	err := wentBack(link{s.head, s.headHash}, row)
	s.cryWentBack(err)
	s.end(err)
}

func (s *Shard) cryWentBack(err error) {
	s.log.Error("THE STORE WENT BACK: it has lost what it acknowledged; this shard refuses to go on. Was it restored, or failed over to a copy that lagged?",
		slog.Any("error", err))
}

func wentBack(known link, row eventstore.ShardState) error {
	return fmt.Errorf("%w: acknowledged up to %d (%s), found %d (%s)", ErrStoreWentBack, known.seq, known.hash, row.Head, row.HeadHash)
}

// How often a claim is tried: an opening shard gives up, a settling one does not.
const (
	forEver    = 0
	openClaims = 8
)

// claim makes this process the owner if the shard's epoch is the expected one. A
// claim whose outcome is unknown is recognised in the shard's row by its token.
func (h *Host) claim(ctx context.Context, id eventstore.ShardID, expected int64, tries int) claimed {
	tokens := make(map[eventstore.Token]bool)
	var last error
	for try := 0; tries == forEver || try < tries; try++ {
		if try > 0 {
			pause(ctx, backoff(try))
		}
		if err := ctx.Err(); err != nil {
			return claimed{err: errors.Join(err, last)}
		}
		var token eventstore.Token
		rand.Read(token[:])
		tokens[token] = true
		row, err := h.claimOnce(ctx, eventstore.ClaimRequest{
			Shard: id, Expected: expected, Owner: h.cfg.Incarnation, Address: h.cfg.Address, Token: token,
		})
		if err == nil {
			return claimed{row: row}
		}
		last = err
		if errors.Is(err, eventstore.ErrUnknownName) || errors.Is(err, eventstore.ErrUnsafe) && tries != forEver {
			return claimed{err: err}
		}
		if !errors.Is(err, eventstore.ErrRefused) && !errors.Is(err, eventstore.ErrOutcomeUnknown) {
			continue
		}
		row, err = h.readRow(ctx, id)
		switch {
		case err != nil:
			last = err
		case (tokens[row.Token] || removed(recognitionGuard)) && row.Epoch == expected+1:
			return claimed{row: row}
		case row.Epoch != expected:
			return claimed{row: row, lost: true}
		}
	}
	return claimed{err: last}
}

func (h *Host) claimOnce(ctx context.Context, r eventstore.ClaimRequest) (eventstore.ShardState, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Limits.CallTimeout)
	defer cancel()
	return h.cfg.Store.Claim(ctx, r)
}

func (h *Host) readRow(ctx context.Context, id eventstore.ShardID) (eventstore.ShardState, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Limits.CallTimeout)
	defer cancel()
	return h.cfg.Store.Shard(ctx, id)
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
