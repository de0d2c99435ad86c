package cluster

import "path/filepath"

// Folders of a cluster:
//
//	cluster.json      what was started
//	kubeconfig        the administrator's
//	pki/              certificates and keys
//	etcd/             the API server's data
//	logs/             one file a component
//	configuration/    what the components are told
//	volumes/NODE/     local volumes
//	NODE/run          /run of the node, with containerd's socket
//	NODE/log          /var/log of the node, with the pods' logs
//	NODE/containerd   images and containers
//	NODE/kubelet      /var/lib/kubelet of the node
//	NODE/cni          /var/lib/cni of the node
//	NODE/images       which archives were loaded

func (c *Cluster) pki() string  { return filepath.Join(c.dir, "pki") }
func (c *Cluster) logs() string { return filepath.Join(c.dir, "logs") }

func (c *Cluster) configuration(file string) string {
	return filepath.Join(c.dir, "configuration", file)
}

func (c *Cluster) certificate(name string) string { return filepath.Join(c.pki(), name+".crt") }
func (c *Cluster) key(name string) string         { return filepath.Join(c.pki(), name+".key") }

// nodeFolder is a folder of one node.
func (c *Cluster) nodeFolder(node, folder string) string { return filepath.Join(c.dir, node, folder) }

// socket is the node's containerd as the host sees it.
func (c *Cluster) socket(node string) string {
	return c.nodeFolder(node, "run/containerd/containerd.sock")
}

// Kubeconfig is the path of the administrator's kubeconfig. It reaches the API
// server by 127.0.0.1.
func (c *Cluster) Kubeconfig() string { return filepath.Join(c.dir, "kubeconfig") }
