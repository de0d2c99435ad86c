package shard

// A guard is something without which the protocol would be broken, and which a
// build for tests can take out, to show that the simulation finds it missing
// (fault.go; in a release removed is constantly false, and the compiler leaves
// nothing of it).
type guard string

const (
	// barrierGuard: an answer to a command that wrote nothing waits at the barrier.
	barrierGuard guard = "barrier"
	// readGuard: so does a strong read.
	readGuard guard = "read barrier"
	// dedupGuard: a repeated id finds the first answer.
	dedupGuard guard = "dedup window"
	// resendGuard: the batch that was not written is sent again, before anything
	// that was decided on top of it.
	resendGuard guard = "identical resend"
	// settleGuard: an unknown outcome is settled by a claim before anything else
	// is sent.
	settleGuard guard = "settlement"
	// recognitionGuard: a claim of unknown outcome is recognised by its token.
	recognitionGuard guard = "token of a claim"
	// snapshotGuard: snapshots hold committed state.
	snapshotGuard guard = "committed-only snapshots"
)

// skip is what happens without the resendGuard: the batch in flight fails alone,
// and what was decided on top of it is sent.
func (s *Shard) skip(b *batch) {
	s.inflight = nil
	for _, en := range b.entries {
		en.entity.pending--
		s.answerAll(append([]*request{en.request}, en.joined...), notAttempted("the store did not take it"))
	}
}
