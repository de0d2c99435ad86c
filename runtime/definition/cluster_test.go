package definition

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// cluster is a real API server that serves config/crd, started by the first test
// that needs it.
var cluster struct {
	sync.Once
	environment *envtest.Environment
	config      *rest.Config
	client      client.Client
	err         error
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := m.Run()
	if cluster.environment != nil {
		if err := cluster.environment.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func startCluster() error {
	folder := os.Getenv("KUBEBUILDER_ASSETS")
	if folder == "" {
		printed, err := exec.CommandContext(context.Background(), filepath.Join("..", "..", "hack", "kube-binaries.sh"), "--print").Output()
		if err != nil {
			return fmt.Errorf("hack/kube-binaries.sh --print: %w", err)
		}
		folder = strings.TrimSpace(string(printed))
	}
	if _, err := os.Stat(filepath.Join(folder, "kube-apiserver")); err != nil {
		return fmt.Errorf("these tests need a real API server; build it once with `hack/kube-binaries.sh`, or set KUBEBUILDER_ASSETS: %w", err)
	}
	e := &envtest.Environment{
		BinaryAssetsDirectory: folder,
		CRDInstallOptions: envtest.CRDInstallOptions{
			Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, ErrorIfPathMissing: true,
		},
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	e.ControlPlane.Etcd = &envtest.Etcd{}
	e.ControlPlane.Etcd.Configure().Append("unsafe-no-fsync", "true")
	cluster.environment = e
	config, err := e.Start()
	if err != nil {
		return fmt.Errorf("start the API server: %w", err)
	}
	config.QPS = -1
	cluster.config = config
	scheme := runtime.NewScheme()
	if err := errors.Join(v1alpha1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		return err
	}
	cluster.client, err = client.New(config, client.Options{Scheme: scheme})
	return err
}

// place is a namespace of its own, reached through a connection that a test can
// cut.
type place struct {
	t      *testing.T
	client client.Client
	name   string
	line   *line
}

func newPlace(t *testing.T) *place {
	t.Helper()
	cluster.Do(func() { cluster.err = startCluster() })
	if cluster.err != nil {
		t.Fatal(cluster.err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "watch-"}}
	if err := cluster.client.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return &place{t: t, client: cluster.client, name: ns.Name, line: newLine(t)}
}

// watch runs a Watch of the Runtime pool, until the test ends.
func (p *place) watch(target Target) {
	p.t.Helper()
	config := rest.CopyConfig(cluster.config)
	config.Host = "https://" + p.line.listener.Addr().String()
	w, err := NewWatch(WatchConfig{Namespace: p.name, Runtime: "pool", Client: config, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx, target) })
	p.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func (p *place) create(objects ...client.Object) {
	p.t.Helper()
	for _, o := range objects {
		o.SetNamespace(p.name)
		if err := p.client.Create(p.t.Context(), o); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *place) update(o client.Object) {
	p.t.Helper()
	if err := p.client.Update(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) remove(o client.Object) {
	p.t.Helper()
	if err := p.client.Delete(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

// line is a connection to the API server that can be cut.
type line struct {
	listener net.Listener
	server   string

	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
	all  sync.WaitGroup
}

func newLine(t *testing.T) *line {
	t.Helper()
	server, err := url.Parse(cluster.config.Host)
	if err != nil {
		t.Fatal(err)
	}
	l := &line{server: server.Host, open: map[net.Conn]bool{}}
	if server.Host == "" {
		l.server = cluster.config.Host
	}
	if l.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l.all.Go(l.accept)
	t.Cleanup(func() {
		_ = l.listener.Close()
		l.cut()
		l.all.Wait()
	})
	return l
}

func (l *line) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return
		}
		if !l.keep(conn) {
			_ = conn.Close()
			continue
		}
		l.all.Go(func() { l.carry(conn) })
	}
}

// keep is false when the line is down.
func (l *line) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.down {
		l.open[conn] = true
	}
	return !l.down
}

func (l *line) carry(conn net.Conn) {
	far, err := net.Dial("tcp", l.server)
	if err != nil || !l.keep(far) {
		_ = conn.Close()
		return
	}
	var both sync.WaitGroup
	pipe := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_, _ = to.Close(), from.Close()
	}
	both.Go(func() { pipe(conn, far) })
	both.Go(func() { pipe(far, conn) })
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, conn)
	delete(l.open, far)
}

// cut ends every connection and takes no new one.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for conn := range l.open {
		_ = conn.Close()
	}
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}
