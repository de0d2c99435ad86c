package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/runtime/api"
	"github.com/leftfold/leftfold/runtime/peer"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/projection"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

// outcomes is the closed set of values that the label has.
var outcomes = map[shard.Outcome]bool{
	shard.OutcomeWritten: true, shard.OutcomeEmpty: true, shard.OutcomeReplayed: true, shard.OutcomeRejected: true,
	shard.OutcomeInvalid: true, shard.OutcomeFailed: true, shard.OutcomeOverloaded: true,
	shard.OutcomeNotAttempted: true, shard.OutcomeUnknown: true, shard.OutcomeNotOwner: true,
}

// Shards is what shard hosts are to tell. A command that no aggregate declares
// has the label "", so that callers cannot make labels.
func (m *Metrics) Shards() shard.Observer {
	return shard.Observer{
		CommandDone: func(aggregate, command string, outcome shard.Outcome, took time.Duration) {
			if !outcomes[outcome] {
				outcome = shard.OutcomeFailed
			}
			m.commands.WithLabelValues(aggregate, command, string(outcome)).Inc()
			m.commandSeconds.WithLabelValues(aggregate, command).Observe(took.Seconds())
		},
		CommitDone: func(aggregate string, took time.Duration, events int) {
			m.commitSeconds.WithLabelValues(aggregate).Observe(took.Seconds())
			m.batchEvents.WithLabelValues(aggregate).Observe(float64(events))
		},
		MailboxDepth:   func(aggregate string, delta int) { m.mailboxDepth.WithLabelValues(aggregate).Add(float64(delta)) },
		Refused:        m.refused,
		EntityBytes:    func(aggregate string, delta int64) { m.entityBytes.WithLabelValues(aggregate).Add(float64(delta)) },
		MailboxBytes:   func(aggregate string, delta int64) { m.mailboxBytes.WithLabelValues(aggregate).Add(float64(delta)) },
		EntitiesLoaded: func(aggregate string, delta int) { m.entitiesLoaded.WithLabelValues(aggregate).Add(float64(delta)) },
		KeyBytes:       func(aggregate string, delta int64) { m.keyBytes.WithLabelValues(aggregate).Add(float64(delta)) },
		FeedBytes:      func(aggregate string, delta int64) { m.feedBytes.WithLabelValues(aggregate).Add(float64(delta)) },
		SnapshotBytes:  func(aggregate string, delta int64) { m.snapshotBytes.WithLabelValues(aggregate).Add(float64(delta)) },
		ShardsOwned:    func(aggregate string, delta int) { m.shardOwned.WithLabelValues(aggregate).Add(float64(delta)) },
	}
}

// refused counts a call that a limit has turned away. The limits are a closed set.
func (m *Metrics) refused(by problem.Limit) {
	if slices.Contains(problem.Limits, by) {
		m.refusals.WithLabelValues(string(by)).Inc()
	}
}

// API is what the API's handler is to tell.
func (m *Metrics) API() api.Observer {
	return api.Observer{
		Refused: m.refused, Connections: levels[int](m.connections), Calls: levels[int](m.calls),
		Streams: levels[int](m.streams), BodyBytes: levels[int64](m.bodyBytes), AnswerBytes: levels[int64](m.answerBytes),
	}
}

// Routing is what the router is to tell.
func (m *Metrics) Routing() routing.Observer {
	return routing.Observer{Refused: m.refused, Held: func(calls int, bytes int64) {
		m.heldCalls.Add(float64(calls))
		m.heldBytes.Add(float64(bytes))
	}}
}

// Peers is what calls to and from other pods are to tell.
func (m *Metrics) Peers() peer.Observer {
	return peer.Observer{Refused: m.refused, Calls: levels[int](m.forwarded), Served: levels[int](m.served)}
}

// levels moves a gauge by what it is told.
func levels[T int | int64](g prometheus.Gauge) func(T) {
	return func(delta T) { g.Add(float64(delta)) }
}

// Projections is what projections are to tell.
func (m *Metrics) Projections() projection.Observer {
	return projection.Observer{Lag: m.projections.lag, Quarantined: m.projections.park}
}

// Failover tells that a shard is served again here after its owner was lost.
// reason is from a closed set, such as ProcessDied or Unreachable; took is the
// time since the loss was seen.
func (m *Metrics) Failover(reason string, took time.Duration) {
	m.failovers.WithLabelValues(reason).Inc()
	m.failoverSeconds.Observe(took.Seconds())
}

// OldestTransaction tells the age of the oldest transaction in a store's
// database; store is the EventStore's name.
func (m *Metrics) OldestTransaction(store string, age time.Duration) {
	m.oldestTransaction.WithLabelValues(store).Set(age.Seconds())
}
