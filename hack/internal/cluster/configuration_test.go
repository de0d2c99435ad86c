package cluster

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"
)

func sampleSettings(t *testing.T) nodeSettings {
	t.Helper()
	return nodeSettings{
		Node: mustPlan(t, "", netip.Prefix{}, 3).nodes()[1], Root: "/c/node-2/containerd", Plugins: "/usr/lib/cni",
		Authority: "/c/pki/ca.crt", Certificate: "/c/pki/node-2.crt", Key: "/c/pki/node-2.key",
		Kubeconfig: "/c/configuration/kube-proxy.kubeconfig", Cluster: "10.213.128.0/18",
		Snapshotter: "overlayfs", PauseImage: pauseImage,
	}
}

func TestConfigurationOfANodeIsItsOwn(t *testing.T) {
	for _, c := range []struct {
		name     string
		template *template.Template
		want     map[string]any
	}{
		{"kubelet", kubeletTemplate, map[string]any{
			"kind": "KubeletConfiguration", "address": "10.213.0.12", "tlsCertFile": "/c/pki/node-2.crt",
			"cgroupDriver": "cgroupfs", "cgroupsPerQOS": false, "readOnlyPort": 0.0,
		}},
		{"kube-proxy", proxyTemplate, map[string]any{
			"kind": "KubeProxyConfiguration", "mode": "nftables", "hostnameOverride": "node-2",
			"clusterCIDR": "10.213.128.0/18", "detectLocalMode": "ClusterCIDR",
		}},
		{"network", networkTemplate, map[string]any{"cniVersion": "0.4.0", "name": "pods"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			content, err := render(c.template, sampleSettings(t))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := yaml.UnmarshalStrict(content, &got); err != nil {
				t.Fatalf("%v in:\n%s", err, content)
			}
			for key, want := range c.want {
				if got[key] != want {
					t.Errorf("%s is %v, not %v", key, got[key], want)
				}
			}
		})
	}
}

func TestPodsGetAddressesOfTheirNode(t *testing.T) {
	content, err := render(networkTemplate, sampleSettings(t))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Plugins []struct {
			Type string
			IPAM struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Plugins) != 1 || got.Plugins[0].Type != "ptp" || got.Plugins[0].IPAM.Ranges[0][0].Subnet != "10.213.130.0/24" {
		t.Errorf("got %+v", got)
	}
}

func TestContainerdKeepsToItsNode(t *testing.T) {
	content, err := render(containerdTemplate, sampleSettings(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`root = "/c/node-2/containerd"`, `sandbox_image = "leftfold-pause:1"`, `bin_dir = "/usr/lib/cni"`, `snapshotter = "overlayfs"`,
	} {
		if !strings.Contains(string(content), want) {
			t.Errorf("no %s in:\n%s", want, content)
		}
	}
}

func TestCertificatesAreWhatTheComponentsNeed(t *testing.T) {
	c := &Cluster{dir: t.TempDir(), plan: mustPlan(t, "", netip.Prefix{}, 2)}
	if err := c.issueAll(); err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	authority, err := os.ReadFile(c.certificate("ca"))
	if err != nil || !trusted.AppendCertsFromPEM(authority) {
		t.Fatalf("authority: %v", err)
	}
	for _, test := range []struct{ file, user, group, name string }{
		{"apiserver", "kube-apiserver", "", "127.0.0.1"},
		{"apiserver", "kube-apiserver", "", "10.213.0.1"},
		{"apiserver", "kube-apiserver", "", "10.213.192.1"},
		{"apiserver", "kube-apiserver", "", "kubernetes.default.svc"},
		{"etcd", "etcd", "", "127.0.0.1"},
		{"admin", "admin", "system:masters", ""},
		{"scheduler", "system:kube-scheduler", "", "127.0.0.1"},
		{"node-2", "system:node:node-2", "system:nodes", "10.213.0.12"},
	} {
		t.Run(test.file+" "+test.name, func(t *testing.T) {
			pair, err := tls.LoadX509KeyPair(c.certificate(test.file), c.key(test.file))
			if err != nil {
				t.Fatal(err)
			}
			got := pair.Leaf
			if got.Subject.CommonName != test.user || strings.Join(got.Subject.Organization, ",") != test.group {
				t.Errorf("is for %s", got.Subject)
			}
			for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
				if _, err := got.Verify(x509.VerifyOptions{DNSName: test.name, Roots: trusted, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestKubeconfigIsReadByKubernetes(t *testing.T) {
	c := &Cluster{dir: t.TempDir(), plan: mustPlan(t, "", netip.Prefix{}, 1)}
	if err := c.issueAll(); err != nil {
		t.Fatal(err)
	}
	if err := c.writeKubeconfig(c.Kubeconfig(), "admin", "127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:16443" || len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Errorf("host %s, %d bytes of authority", config.Host, len(config.CAData))
	}
	if info, err := os.Stat(c.Kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig may be read by others: %v, %v", info.Mode(), err)
	}
}

func TestContainerIsFoundByPodAndName(t *testing.T) {
	const pod = types.UID("c5c0e10b-2e9c-4db6-a44b-76b2264693cc")
	bundle := func(name string, uid types.UID) string {
		return `{"annotations":{"io.kubernetes.cri.container-name":"` + name + `"},
			"mounts":[{"source":"proc"},{"source":"/var/lib/kubelet/pods/` + string(uid) + `/etc-hosts"}]}`
	}
	us := os.Getpid()
	for _, c := range []struct {
		name, config, pid string
		want              int
	}{
		{"the container that is looked for", bundle("runtime", pod), strconv.Itoa(us), us},
		{"another container of the pod", bundle("sidecar", pod), strconv.Itoa(us), 0},
		{"the same container of another pod", bundle("runtime", "d5c0e10b"), strconv.Itoa(us), 0},
		{"one whose process is gone", bundle("runtime", pod), "4194305", 0},
		{"one that has no process yet", bundle("runtime", pod), "", 0},
		{"a folder that is being written", `{"annotat`, strconv.Itoa(us), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := t.TempDir()
			for name, content := range map[string]string{"config.json": c.config, "init.pid": c.pid} {
				if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := matches(folder, pod, "runtime"); got != c.want {
				t.Errorf("got process %d, want %d", got, c.want)
			}
		})
	}
}

func TestAttachTellsThatThereIsNone(t *testing.T) {
	t.Setenv(FolderVariable, filepath.Join(t.TempDir(), "none"))
	if _, err := Attach(""); err == nil || !strings.Contains(err.Error(), ErrNone.Error()) {
		t.Errorf("Attach: %v", err)
	}
	if _, err := Folder(strings.Repeat("/long", 20)); err == nil {
		t.Error("a folder too long for sockets was taken")
	}
}
