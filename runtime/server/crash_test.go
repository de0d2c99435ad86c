package server

import "context"

// Crash ends a pod as kill -9 would, as far as others see it: no shard is
// released, no heartbeat comes, nobody answers.
func (m *Managed) Crash() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.http.Close()
	_ = m.rpc.Close()
	m.control.Close()
	m.router.Close()
	m.peers.Close()
	m.pod.stop()
	m.mu.Lock()
	stores := m.stores
	m.stores = map[string]*workload{}
	m.mu.Unlock()
	for _, w := range stores {
		w.cancel()
		_ = w.host.Close(ended) // shards stop as they are
		w.projections.close()
		w.work.Wait()
		_ = w.store.Close()
	}
}
