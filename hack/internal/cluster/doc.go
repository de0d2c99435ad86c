// Package cluster runs a real Kubernetes cluster of several nodes on one Linux
// machine: one control plane, and for every node a containerd, a kubelet and a
// kube-proxy of its own. Containers, Services, volumes and failures are real;
// nothing is simulated. It needs root, and nothing from a registry.
//
// # How it stands
//
//	host ── leftfold0 ─┐
//	                   │  namespace leftfold-net: a bridge, and a kube-proxy for the host
//	                   ├── leftfold-node-1: containerd, kubelet, kube-proxy, pods
//	                   ├── leftfold-node-2: …
//	                   └── leftfold-node-3: …
//
// The control plane (etcd, API server, controller manager, scheduler) runs on the
// host, so that any node can be cut off or frozen and all nodes are alike. The
// switch and all nodes live in network namespaces: of the machine's own network
// only one interface, a few routes and one table of nftables are ours, and no
// setting of it is changed. Each node has a mount namespace too, in which /run,
// /var/log, /var/lib/kubelet and /var/lib/cni are folders of the cluster's: its
// mounts end with its last process.
//
// # How it ends
//
// Every process carries a mark in its environment, and containers descend from
// one that does. Down finds them by that, whatever became of the process that
// started them, and then removes namespaces, interfaces, tables and folders by
// their names. A reboot, or a kill of everything, leaves nothing that the next Up
// or Down does not clear.
//
// It must never end a process that is not its own, nor stop, start or change a
// containerd, a kubelet or a firewall of the machine's.
package cluster
