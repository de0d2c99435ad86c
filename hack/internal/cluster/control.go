package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// controlPlane is the part whose processes are not a node's.
const controlPlane = "control-plane"

// startStore starts etcd. Without it the API server ends, and says why.
func (c *Cluster) startStore() error {
	_, err := c.start(controlPlane, "etcd", c.program("etcd"),
		"--name=local",
		"--data-dir="+filepath.Join(c.dir, "etcd"),
		fmt.Sprintf("--listen-client-urls=https://127.0.0.1:%d", etcdPort),
		fmt.Sprintf("--advertise-client-urls=https://127.0.0.1:%d", etcdPort),
		fmt.Sprintf("--listen-peer-urls=https://127.0.0.1:%d", etcdPeerPort),
		fmt.Sprintf("--initial-advertise-peer-urls=https://127.0.0.1:%d", etcdPeerPort),
		fmt.Sprintf("--initial-cluster=local=https://127.0.0.1:%d", etcdPeerPort),
		"--cert-file="+c.certificate("etcd"), "--key-file="+c.key("etcd"),
		"--trusted-ca-file="+c.certificate("ca"), "--client-cert-auth",
		"--peer-cert-file="+c.certificate("etcd"), "--peer-key-file="+c.key("etcd"),
		"--peer-trusted-ca-file="+c.certificate("ca"), "--peer-client-cert-auth",
		// The data does not outlive the cluster, and the disk is slower than all else.
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
	return err
}

// apiServer is the component's name.
const apiServer = "kube-apiserver"

// StartAPI starts the API server, on its store which runs, and waits until it serves.
func (c *Cluster) StartAPI(ctx context.Context) error {
	api, err := c.start(controlPlane, apiServer, c.program(apiServer),
		fmt.Sprintf("--etcd-servers=https://127.0.0.1:%d", etcdPort),
		"--etcd-cafile="+c.certificate("ca"), "--etcd-certfile="+c.certificate("etcd"), "--etcd-keyfile="+c.key("etcd"),
		"--bind-address=0.0.0.0", fmt.Sprintf("--secure-port=%d", apiPort),
		"--advertise-address="+c.plan.host().String(),
		"--service-cluster-ip-range="+c.plan.services().String(),
		"--tls-cert-file="+c.certificate("apiserver"), "--tls-private-key-file="+c.key("apiserver"),
		"--client-ca-file="+c.certificate("ca"),
		"--kubelet-certificate-authority="+c.certificate("ca"),
		"--kubelet-client-certificate="+c.certificate("apiserver-kubelet"),
		"--kubelet-client-key="+c.key("apiserver-kubelet"),
		"--kubelet-preferred-address-types=InternalIP",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+filepath.Join(c.pki(), "tokens.pub"),
		"--service-account-signing-key-file="+c.key("tokens"),
		"--profiling=false",
	)
	if err != nil {
		return err
	}
	return c.await(ctx, "the API server", []process{api}, c.serves)
}

// KillAPI ends the API server as a crash does. All else goes on, and finds nobody.
func (c *Cluster) KillAPI() error {
	for _, component := range c.Components() {
		if component.Name == apiServer && component.Running {
			return unix.Kill(component.PID, unix.SIGKILL)
		}
	}
	return errors.New("no API server runs")
}

// startAPI starts etcd and the API server and waits until it serves.
func (c *Cluster) startAPI(ctx context.Context) error {
	if err := c.startStore(); err != nil {
		return err
	}
	if err := c.writeKubeconfig(c.Kubeconfig(), "admin", "127.0.0.1"); err != nil {
		return err
	}
	if err := giveToCaller(c.Kubeconfig()); err != nil {
		return err
	}
	return c.StartAPI(ctx)
}

// serves asks the API server whether it is ready.
func (c *Cluster) serves(ctx context.Context) bool {
	authority, err := os.ReadFile(c.certificate("ca"))
	if err != nil {
		return false
	}
	pair, err := tls.LoadX509KeyPair(c.certificate("admin"), c.key("admin"))
	if err != nil {
		return false
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: trusted, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/readyz", apiPort), nil)
	if err != nil {
		return false
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// startControllers starts what acts on the API: the controller manager, the
// scheduler, and the kube-proxy by which the host reaches Services.
func (c *Cluster) startControllers() error {
	for name, certificate := range map[string]string{
		"kube-controller-manager": "controller-manager", "kube-scheduler": "scheduler",
	} {
		if err := c.writeKubeconfig(c.configuration(name+".kubeconfig"), certificate, "127.0.0.1"); err != nil {
			return err
		}
	}
	common := func(name, certificate string, port int) []string {
		return []string{
			"--kubeconfig=" + c.configuration(name+".kubeconfig"),
			"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
			"--tls-cert-file=" + c.certificate(certificate), "--tls-private-key-file=" + c.key(certificate),
			"--leader-elect=false", "--profiling=false",
		}
	}
	if _, err := c.start(controlPlane, "kube-controller-manager", c.program("kube-controller-manager"),
		append(common("kube-controller-manager", "controller-manager", controllerManagerPort),
			"--root-ca-file="+c.certificate("ca"),
			"--flex-volume-plugin-dir="+filepath.Join(c.dir, "volume-plugins"),
			"--service-account-private-key-file="+c.key("tokens"),
			"--use-service-account-credentials",
			// Its usual limits are there to protect a shared API server, and make it
			// take six seconds to begin.
			"--kube-api-qps=200", "--kube-api-burst=400")...); err != nil {
		return err
	}
	if _, err := c.start(controlPlane, "kube-scheduler", c.program("kube-scheduler"),
		common("kube-scheduler", "scheduler", schedulerPort)...); err != nil {
		return err
	}
	// kube-proxy wants to be somewhere; it takes only the node's addresses from
	// that, for node ports.
	_, err := c.start(controlPlane, "kube-proxy", "nsenter", "--net="+namespacePath(c.plan.switchNamespace()), "--",
		c.program("kube-proxy"), "--config="+c.configuration("node-1-kube-proxy.yaml"))
	return err
}

// await polls until a condition holds. It ends at once, with the last lines of
// its log, when one of the processes that it depends on has ended.
func (c *Cluster) await(ctx context.Context, what string, on []process, ready func(context.Context) bool) error {
	// Generous: a cold disk on a busy machine takes several times the usual seconds.
	limited, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := poll(limited, 100*time.Millisecond, what, func() (bool, error) {
		for _, p := range on {
			if !p.alive() {
				return false, fmt.Errorf("%s has ended; the end of %s:\n%s", p.Name, p.Log, tail(p.Log))
			}
		}
		return ready(limited), nil
	})
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		for _, p := range on {
			err = fmt.Errorf("%w\nthe end of %s:\n%s", err, p.Log, tail(p.Log))
		}
	}
	return err
}
