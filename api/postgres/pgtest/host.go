package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// binaries finds the folder that holds initdb and postgres.
func binaries() (string, error) {
	if dir := os.Getenv("LEFTFOLD_TEST_POSTGRES_BIN"); dir != "" {
		return dir, nil
	}
	newest, found := 0, ""
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		if err != nil {
			continue // "9.6" and the like: older than what we support
		}
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil && version > newest {
			newest, found = version, dir
		}
	}
	if found != "" {
		return found, nil
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(initdb), nil
	}
	return "", ErrNoBinaries
}

// unprivileged is whom the server runs as when this process is root, which
// PostgreSQL refuses to be; nil otherwise.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID != nil || errGID != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as")
}

// prepare makes cmd run as the server's user, in a folder it may enter, out of
// reach of the terminal's Ctrl-C: the supervisor alone ends the server.
func (s *Server) prepare(cmd *exec.Cmd) {
	cmd.Dir = s.folder
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setsid: true}
}

// own gives a file to the server's user.
func (s *Server) own(path string) error {
	if s.as == nil {
		return nil
	}
	return os.Lchown(path, int(s.as.Uid), int(s.as.Gid))
}

// reachBinaries copies the binaries, with what lies beside them, into the server's
// folder when its user may not enter theirs: root's cache is closed to all others.
func (s *Server) reachBinaries() error {
	probe := exec.Command(filepath.Join(s.bin, "postgres"), "--version")
	s.prepare(probe)
	if err := probe.Run(); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	installation := filepath.Join(s.folder, "installation")
	if err := os.CopyFS(installation, os.DirFS(filepath.Dir(s.bin))); err != nil {
		return err
	}
	s.bin = filepath.Join(installation, filepath.Base(s.bin))
	return filepath.WalkDir(installation, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, s.own(path))
	})
}

// createRole makes the ordinary role and its database.
func (s *Server) createRole() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url(superuser, "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range []string{
		"CREATE ROLE " + role + " LOGIN PASSWORD '" + password + "'",
		"CREATE DATABASE " + database + " OWNER " + role,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("listening on %v, which is no TCP address", l.Addr())
	}
	return addr.Port, nil
}

// childrenOf lists the living children of a process.
func childrenOf(parent int) []int {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var children []int
	for _, path := range stats {
		pid, ppid, _, ok := readStat(path)
		if ok && ppid == parent {
			children = append(children, pid)
		}
	}
	return children
}

// zombie reports whether the process has ended and only waits to be reaped.
func zombie(pid int) bool {
	_, _, state, ok := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return !ok || state == "Z"
}

// readStat reads a process's id, parent and state as proc(5) lays them out: the
// name stands in parentheses and may hold any character.
func readStat(path string) (pid, ppid int, state string, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, "", false // it ended meanwhile
	}
	text := string(b)
	id, _, _ := strings.Cut(text, " ")
	rest := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	if len(rest) < 2 {
		return 0, 0, "", false
	}
	pid, errID := strconv.Atoi(id)
	ppid, errParent := strconv.Atoi(rest[1])
	return pid, ppid, rest[0], errID == nil && errParent == nil
}

// interval between two looks at a process or server that is starting or ending.
const interval = 20 * time.Millisecond
