package shard

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// metrics are what the Fleet counts.
type metrics struct {
	failovers *prometheus.CounterVec
	failover  prometheus.Histogram
	move      prometheus.Histogram
	plan      prometheus.Histogram
	members   *prometheus.GaugeVec
	shards    *prometheus.GaugeVec
}

// newMetrics registers the metrics; those that are registered already are shared.
func newMetrics(registry prometheus.Registerer) *metrics {
	return &metrics{
		failovers: register(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leftfold_failovers_total",
			Help: "Unplanned moves of shards that ended well, by what made them necessary.",
		}, []string{"reason"})),
		failover: register(registry, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "leftfold_failover_seconds",
			Help: "From the moment a shard's failure was noticed until another owner served it.",
			// The aim is 0.3 s after a death, and the heartbeat timeout and 0.5 s
			// after a partition.
			Buckets: []float64{.005, .01, .025, .05, .1, .2, .3, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60},
		})),
		move: register(registry, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "leftfold_move_seconds",
			Help: "From the moment a planned move of a shard was asked for until another owner served it; callers wait for most of it.",
			// The aim is 0.05 s.
			Buckets: []float64{.005, .01, .02, .03, .05, .075, .1, .15, .2, .3, .5, 1, 2, 5, 10, 30},
		})),
		plan: register(registry, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "leftfold_plan_seconds",
			Help:    "Time to decide which pod owns which shard, and to ask for what follows.",
			Buckets: []float64{.0001, .0003, .001, .003, .01, .025, .05, .1, .25, 1},
		})),
		members: register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leftfold_members",
			Help: "Processes of runtime pods that the operator knows, by state: ready, draining, absent.",
		}, []string{"namespace", "runtime", "state"})),
		shards: register(registry, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "leftfold_shards",
			Help: "Shards by state: Owned, Claiming, HandingOff, Unowned, Stalled.",
		}, []string{"namespace", "runtime", "state"})),
	}
}

func register[C prometheus.Collector](registry prometheus.Registerer, c C) C {
	var known prometheus.AlreadyRegisteredError
	if err := registry.Register(c); errors.As(err, &known) {
		if same, ok := known.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}

func (m *metrics) failedOver(f *Failover) {
	m.failovers.WithLabelValues(string(f.Reason)).Inc()
	m.failover.Observe(f.Duration.Seconds())
}

func (m *metrics) moved(took time.Duration) { m.move.Observe(took.Seconds()) }

func (m *metrics) planned(took time.Duration) { m.plan.Observe(took.Seconds()) }

func (m *metrics) show(runtime types.NamespacedName, v *View) {
	members := map[string]int{"ready": 0, "draining": 0, "absent": 0}
	for i := range v.Members {
		switch {
		case v.Members[i].Draining:
			members["draining"]++
		case v.Members[i].Ready:
			members["ready"]++
		default:
			members["absent"]++
		}
	}
	for state, count := range members {
		m.members.WithLabelValues(runtime.Namespace, runtime.Name, state).Set(float64(count))
	}
	shards := map[State]int{Owned: 0, Claiming: 0, HandingOff: 0, Unowned: 0, Stalled: 0}
	for i := range v.Shards {
		shards[v.Shards[i].State]++
	}
	for state, count := range shards {
		m.shards.WithLabelValues(runtime.Namespace, runtime.Name, string(state)).Set(float64(count))
	}
}

// forget takes a Runtime that is no more out.
func (m *metrics) forget(runtime types.NamespacedName) {
	labels := prometheus.Labels{"namespace": runtime.Namespace, "runtime": runtime.Name}
	m.members.DeletePartialMatch(labels)
	m.shards.DeletePartialMatch(labels)
}
