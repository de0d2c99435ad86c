package cluster

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// pauseImage is what holds a pod's namespaces; its archive is built here.
const pauseImage = "leftfold-pause:1"

// nodeSettings is what a node's configuration files are rendered from. Paths are
// those that the node sees.
type nodeSettings struct {
	Node
	// Root is where containerd keeps images and containers.
	Root string
	// Plugins is the machine's folder of CNI plugins.
	Plugins string
	// Authority, Certificate and Key are files.
	Authority, Certificate, Key string
	// Kubeconfig is kube-proxy's.
	Kubeconfig string
	// Cluster holds the subnets of all pods.
	Cluster string
	// Snapshotter is containerd's way to stack file systems.
	Snapshotter string
	PauseImage  string
}

// containerd: version 2 is what both containerd 1.6 and its successors read. What
// would need CAP_SYS_RESOURCE is left out, for not every machine's root has that.
var containerdTemplate = template.Must(template.New("containerd").Parse(`version = 2
root = {{ printf "%q" .Root }}
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {{ printf "%q" .PauseImage }}
  restrict_oom_score_adj = true
  disable_tcp_service = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = {{ printf "%q" .Plugins }}
    conf_dir = "/run/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = {{ printf "%q" .Snapshotter }}

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`))

// The CNI plugin ptp gives each pod a veth and a route, and needs no bridge.
var networkTemplate = template.Must(template.New("cni").Parse(`{
  "cniVersion": "0.4.0",
  "name": "pods",
  "plugins": [{
    "type": "ptp",
    "ipMasq": false,
    "ipam": {
      "type": "host-local",
      "dataDir": "/run/cni-addresses",
      "ranges": [[{"subnet": "{{ .Pods }}"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`))

// The kubelet: as on a real node, but it takes the machine as it finds it. All
// nodes share one machine, so none of them may evict pods or remove images
// because its disk fills.
var kubeletTemplate = template.Must(template.New("kubelet").Parse(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
address: {{ .Address }}
healthzBindAddress: {{ .Address }}
readOnlyPort: 0
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: {{ .Authority }}}
authorization: {mode: Webhook}
tlsCertFile: {{ .Certificate }}
tlsPrivateKeyFile: {{ .Key }}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
makeIPTablesUtilChains: false
oomScoreAdj: 0
resolvConf: ""
volumePluginDir: /var/lib/kubelet/volume-plugins
imageGCHighThresholdPercent: 100
evictionHard:
  memory.available: 0%
  nodefs.available: 0%
  nodefs.inodesFree: 0%
  imagefs.available: 0%
  imagefs.inodesFree: 0%
featureGates:
  KubeletInUserNamespace: true
`))

// kube-proxy: zeros keep it from changing the machine's connection tracking.
var proxyTemplate = template.Must(template.New("kube-proxy").Parse(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: {{ .Name }}
clusterCIDR: {{ .Cluster }}
detectLocalMode: ClusterCIDR
oomScoreAdj: 0
clientConnection: {kubeconfig: {{ .Kubeconfig }}}
conntrack:
  maxPerCore: 0
  min: 0
  tcpEstablishedTimeout: 0s
  tcpCloseWaitTimeout: 0s
`))

func render(t *template.Template, settings nodeSettings) ([]byte, error) {
	var out bytes.Buffer
	if err := t.Execute(&out, settings); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// configureNode writes what the components of one node are told.
func (c *Cluster) configureNode(node Node, snapshotter, plugins string) error {
	settings := nodeSettings{
		Node: node, Root: c.nodeFolder(node.Name, "containerd"), Plugins: plugins,
		Authority: c.certificate("ca"), Certificate: c.certificate(node.Name), Key: c.key(node.Name),
		Kubeconfig: c.configuration("kube-proxy.kubeconfig"), Cluster: c.plan.pods().String(),
		Snapshotter: snapshotter, PauseImage: pauseImage,
	}
	for path, t := range map[string]*template.Template{
		c.configuration(node.Name + "-containerd.toml"):  containerdTemplate,
		c.configuration(node.Name + "-kubelet.yaml"):     kubeletTemplate,
		c.configuration(node.Name + "-kube-proxy.yaml"):  proxyTemplate,
		c.nodeFolder(node.Name, "run/cni/pods.conflist"): networkTemplate,
	} {
		content, err := render(t, settings)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return c.writeKubeconfig(c.configuration(node.Name+"-kubelet.kubeconfig"), node.Name, c.plan.host().String())
}

// writeKubeconfig lets the holder of a certificate reach the API server at a host.
func (c *Cluster) writeKubeconfig(path, certificate, host string) error {
	authority, err := os.ReadFile(c.certificate("ca"))
	if err != nil {
		return err
	}
	public, err := os.ReadFile(c.certificate(certificate))
	if err != nil {
		return err
	}
	private, err := os.ReadFile(c.key(certificate))
	if err != nil {
		return err
	}
	content, err := kubeconfig(c.plan.Name, host, authority, public, private)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// kubeconfig is JSON, which is YAML, and holds the certificates themselves.
func kubeconfig(name, host string, authority, certificate, key []byte) ([]byte, error) {
	type object = map[string]any
	encode := base64.StdEncoding.EncodeToString
	return json.MarshalIndent(object{
		"apiVersion": "v1", "kind": "Config", "current-context": name,
		"clusters": []object{{"name": name, "cluster": object{
			"server": fmt.Sprintf("https://%s:%d", host, apiPort), "certificate-authority-data": encode(authority),
		}}},
		"users": []object{{"name": name, "user": object{
			"client-certificate-data": encode(certificate), "client-key-data": encode(key),
		}}},
		"contexts": []object{{"name": name, "context": object{"cluster": name, "user": name}}},
	}, "", "  ")
}
