package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/leftfold/leftfold/runtime/problem"
)

// Buckets, in seconds and events. A command on a near database takes from half a
// millisecond; a second and more is a failover or a sick store.
var (
	commandBuckets  = []float64{.0005, .001, .002, .003, .005, .0075, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	commitBuckets   = []float64{.0002, .0005, .001, .002, .003, .005, .0075, .01, .025, .05, .1, .25, .5, 1, 5}
	batchBuckets    = []float64{0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048}
	failoverBuckets = []float64{.025, .05, .1, .2, .3, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60}
)

// Metrics are all metrics of a runtime, in a registry of their own.
type Metrics struct {
	registry *prometheus.Registry

	commands       *prometheus.CounterVec
	commandSeconds *prometheus.HistogramVec
	commitSeconds  *prometheus.HistogramVec
	batchEvents    *prometheus.HistogramVec
	shardOwned     *prometheus.GaugeVec
	mailboxDepth   *prometheus.GaugeVec
	entitiesLoaded *prometheus.GaugeVec
	entityBytes    *prometheus.GaugeVec
	mailboxBytes   *prometheus.GaugeVec
	keyBytes       *prometheus.GaugeVec
	feedBytes      *prometheus.GaugeVec
	snapshotBytes  *prometheus.GaugeVec

	refusals *prometheus.CounterVec

	connections, calls, streams, bodyBytes, answerBytes prometheus.Gauge
	heldCalls, heldBytes                                prometheus.Gauge
	forwarded, served                                   prometheus.Gauge

	projections *projectionCollector

	failovers         *prometheus.CounterVec
	failoverSeconds   prometheus.Histogram
	oldestTransaction *prometheus.GaugeVec
}

// New makes the metrics of a process; version is the release's.
func New(version string) *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		projections: newProjectionCollector(time.Now),
		commands: counter("commands_total",
			"Commands that were answered, by what became of them: written, empty, replayed, rejected, invalid, failed, overloaded, not_attempted, unknown, not_owner.",
			"aggregate", "command", "outcome"),
		commandSeconds: histogram("command_seconds",
			"Time from a command's arrival at its shard to its answer.", commandBuckets, "aggregate", "command"),
		commitSeconds: histogram("commit_seconds",
			"Time that an append of one shard's batch took until it was durable.", commitBuckets, "aggregate"),
		batchEvents: histogram("commit_batch_events",
			"Events in one shard's batch; 0 for a batch that only carried answers.", batchBuckets, "aggregate"),
		shardOwned: gauge("shard_owned",
			"Shards that this process owns.", "aggregate"),
		mailboxDepth: gauge("shard_mailbox_depth",
			"Commands that shards of this process hold, from their arrival to their answer.", "aggregate"),
		entitiesLoaded: gauge("entities_loaded",
			"Entities in memory.", "aggregate"),
		entityBytes: gauge("entities_loaded_bytes",
			"Memory of entities, their last commands included.", "aggregate"),
		mailboxBytes: gauge("shard_mailbox_bytes",
			"Bytes of the commands that shards of this process hold.", "aggregate"),
		keyBytes: gauge("remembered_key_bytes",
			"Memory of idempotency keys that are remembered for their age, beyond each entity's last commands. At its limit keyed commands are answered Overloaded.", "aggregate"),
		feedBytes: gauge("shard_feed_bytes",
			"Memory of committed events that shards keep for projections.", "aggregate"),
		snapshotBytes: gauge("snapshot_queue_bytes",
			"Memory of snapshots that wait to be written. At its limit an entity's is asked for again at its next commit.", "aggregate"),
		refusals: counter("refusals_total",
			"Calls that a limit of this process turned away, by the limit. runtime/README.md tells their sizes.", "limit"),
		connections: level("connections",
			"Connections of callers that are open, those included that are too many and are told so."),
		calls: level("calls",
			"Calls that are under way, event streams apart."),
		streams: level("streams",
			"Event streams that are open."),
		bodyBytes: level("body_bytes",
			"Memory of the bodies of calls that are under way."),
		answerBytes: level("answer_bytes",
			"Memory of the answers of calls and of pages of event streams that are being written."),
		heldCalls: level("held_calls",
			"Calls that wait for their shard to have an owner."),
		heldBytes: level("held_bytes",
			"Bytes of their commands."),
		forwarded: level("forwarded_calls",
			"Calls that are with other pods, which own their shards."),
		served: level("served_calls",
			"Calls of other pods that are served here."),
		failovers: counter("failovers_total",
			"Shards that went on here after their owner was lost, by the reason.", "reason"),
		failoverSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "failover_seconds", Buckets: failoverBuckets,
			Help: "Time from the loss of a shard's owner being seen to the shard being served again.",
		}),
		oldestTransaction: gauge("store_oldest_transaction_seconds",
			"Age of the oldest transaction in the store's database. An old one keeps dead rows of hot tables alive and slows every append.", "store"),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", ConstLabels: prometheus.Labels{"version": version},
		Help: "Always 1; the label is the release.",
	})
	build.Set(1)
	m.registry.MustRegister(
		m.commands, m.commandSeconds, m.commitSeconds, m.batchEvents, m.shardOwned, m.mailboxDepth, m.entitiesLoaded, m.entityBytes, m.mailboxBytes, m.keyBytes, m.feedBytes, m.snapshotBytes,
		m.refusals, m.connections, m.calls, m.streams, m.bodyBytes, m.answerBytes, m.heldCalls, m.heldBytes, m.forwarded, m.served,
		m.projections, m.failovers, m.failoverSeconds, m.oldestTransaction, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	for _, limit := range problem.Limits {
		m.refusals.WithLabelValues(string(limit)) // at 0, so that the first refusal is a rise
	}
	return m
}

// namespace begins the name of every metric of Leftfold's own.
const namespace = "leftfold"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

// level is a gauge without labels.
func level(name, help string) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}
