package sqlite

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// shared are the file systems on which another machine may have the same file, by
// the numbers of statfs(2): there locks and shared memory do not reach everybody.
var shared = map[uint32]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x00c36400: "Ceph",
	0x01021997: "9P",
	0x65735546: "FUSE",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x73757245: "Coda",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x7461636f: "OCFS2",
	0x01161970: "GFS2",
	0x19830326: "BeeGFS",
}

// checkFileSystem refuses a folder on a file system that machines share.
func checkFileSystem(dir string) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("statfs %s: %w", dir, err)
	}
	return checkType(dir, uint32(s.Type)) // the type is a number of 32 bits, whatever the field
}

func checkType(dir string, number uint32) error {
	if name := shared[number]; name != "" {
		return fmt.Errorf("%w: %s is on %s, a network file system, where file locks cannot be relied on; use a local disk or a block volume", eventstore.ErrUnsafe, dir, name)
	}
	return nil
}
