package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// forgetAfter is how long what was told of a projection stands. It is told anew
// about every second while this process has the shard, so what is older belongs
// to a shard that another process serves, or to a projection that is gone.
const forgetAfter = 10 * time.Second

// projectionCollector makes one figure a projection out of what its shards tell:
// events wait in sum, and the oldest of them counts.
type projectionCollector struct {
	now func() time.Time

	mu     sync.Mutex
	lags   map[lagKey]lag
	parked map[string]parked

	lagEvents, lagSeconds, quarantined *prometheus.Desc
}

type lagKey struct {
	projection, aggregate string
	shard                 int32
}

type lag struct {
	events int64
	age    time.Duration
	at     time.Time
}

type parked struct {
	entities int
	at       time.Time
}

func newProjectionCollector(now func() time.Time) *projectionCollector {
	describe := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, []string{"projection"}, nil)
	}
	return &projectionCollector{
		now: now, lags: map[lagKey]lag{}, parked: map[string]parked{},
		lagEvents:   describe("projection_lag_events", "Stored events that the projection has not read yet, of the shards of this process."),
		lagSeconds:  describe("projection_lag_seconds", "Age of the oldest of them; 0 when there is none."),
		quarantined: describe("projection_quarantined", "Entities that are parked because an event of theirs could not be applied."),
	}
}

func (c *projectionCollector) lag(projection, aggregate string, shard int32, events int64, age time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lags[lagKey{projection, aggregate, shard}] = lag{events: events, age: age, at: c.now()}
}

func (c *projectionCollector) park(projection string, entities int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parked[projection] = parked{entities: entities, at: c.now()}
}

// Describe implements prometheus.Collector.
func (c *projectionCollector) Describe(out chan<- *prometheus.Desc) {
	out <- c.lagEvents
	out <- c.lagSeconds
	out <- c.quarantined
}

// Collect implements prometheus.Collector.
func (c *projectionCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	oldest := c.now().Add(-forgetAfter)
	sums := map[string]lag{}
	for key, l := range c.lags {
		if l.at.Before(oldest) {
			delete(c.lags, key)
			continue
		}
		sum := sums[key.projection]
		sums[key.projection] = lag{events: sum.events + l.events, age: max(sum.age, l.age)}
	}
	for projection, sum := range sums {
		out <- prometheus.MustNewConstMetric(c.lagEvents, prometheus.GaugeValue, float64(sum.events), projection)
		out <- prometheus.MustNewConstMetric(c.lagSeconds, prometheus.GaugeValue, sum.age.Seconds(), projection)
	}
	for projection, p := range c.parked {
		if p.at.Before(oldest) {
			delete(c.parked, projection)
			continue
		}
		out <- prometheus.MustNewConstMetric(c.quarantined, prometheus.GaugeValue, float64(p.entities), projection)
	}
}
