package crash

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// diskSize holds what some rounds write, and is filled in a moment.
const diskSize = "96m"

// onDisk runs a command in a mount namespace of its own that has a small disk at a
// folder: $1 is the folder, $2 the size. The disk goes with the process, however
// that ends.
const onDisk = `mount -t tmpfs -o size="$2" tmpfs "$1" && shift 2 && exec "$@"`

func TestTheDiskIsFull(t *testing.T) {
	probe := exec.Command("unshare", "--mount", "sh", "-c", onDisk, "sh", t.TempDir(), diskSize, "true")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, this proves nothing about full disks: no file system can be mounted here: %v: %s", err, out)
	}
	campaign(t, func(t *testing.T, w *world) {
		disk := t.TempDir()
		server := w.devOn(disk)
		// The disk is seen through the process that has it.
		filler := filepath.Join("/proc", fmt.Sprint(server.PID()), "root", disk, "filler")
		w.fault = func(int) time.Time {
			if err := fill(filler, 300*time.Millisecond+w.upTo(3*time.Second)); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
	})
}

// devOn starts leftfold dev with a small disk of its own at a folder.
func (w *world) devOn(disk string) *ledger.Process {
	w.t.Helper()
	p, err := ledger.Start(w.t.Context(), newTail(w.t, "leftfold dev"), "unshare", "--mount", "sh", "-c", onDisk, "sh", disk, diskSize,
		w.binary, "dev", "-f", bank, "--listen", free(w.t), "--data", filepath.Join(disk, "data"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if code := p.Stop(); code != 0 && !w.t.Failed() {
			w.t.Errorf("exit code %d after SIGTERM, want 0", code)
		}
	})
	w.gone = func() []<-chan struct{} { return []<-chan struct{}{p.Gone()} }
	w.enter(p.URL)
	return p
}

// fill takes all room on the disk, and what becomes free, for so long.
func fill(path string, lasting time.Duration) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	block, full := make([]byte, 4096), false
	for until := time.Now().Add(lasting); time.Now().Before(until); {
		switch _, err := f.Write(block); {
		case err == nil:
			continue
		case !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite):
			return err
		}
		full = true
		wait(time.Millisecond)
	}
	if !full {
		return errors.New("the disk did not become full")
	}
	return nil
}
