package sqlite

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

func TestNetworkFileSystemsAreRefusedByName(t *testing.T) {
	for number, name := range shared {
		if err := checkType("/data", number); !errors.Is(err, eventstore.ErrUnsafe) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, number := range map[string]uint32{"ext4": 0xef53, "xfs": 0x58465342, "btrfs": 0x9123683e, "tmpfs": 0x01021994, "overlay": 0x794c7630, "zfs": 0x2fc12fc1} {
		if err := checkType("/data", number); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkFileSystem(t.TempDir()); err != nil {
		t.Error(err)
	}
}

func TestADatabaseThatIsNotAsDurableAsToldIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), databaseFile)
	for name, setting := range map[string][2]string{"synchronous": {"_pragma", "synchronous(NORMAL)"}, "journal_mode": {"mode", "memory"}} {
		db, err := connect(file, 1, cacheKiB, setting[0], setting[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(t.Context(), db); !errors.Is(err, eventstore.ErrUnsafe) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", setting, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
