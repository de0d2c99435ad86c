package postgres

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leftfold/leftfold/runtime/eventstore/postgres/pgtest"
)

func TestSocketsNoticeAPeerThatIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		params string
		want   map[int]int // TCP option: value
	}{
		"by the defaults": {"", map[int]int{
			unix.TCP_USER_TIMEOUT: 10_000, unix.TCP_KEEPIDLE: 5, unix.TCP_KEEPINTVL: 1, unix.TCP_KEEPCNT: 3}},
		"by libpq's keywords in the URL": {"?tcp_user_timeout=1500&keepalives=1&keepalives_idle=7&keepalives_interval=2&keepalives_count=4", map[int]int{
			unix.TCP_USER_TIMEOUT: 1500, unix.TCP_KEEPIDLE: 7, unix.TCP_KEEPINTVL: 2, unix.TCP_KEEPCNT: 4}},
		"by the defaults where libpq's keyword is 0": {"?tcp_user_timeout=0", map[int]int{unix.TCP_USER_TIMEOUT: 10_000}},
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			o, err := Options{URL: "postgres://u:p@" + listener.Addr().String() + "/d" + test.params}.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			config, err := parseURL(o)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := config.ConnConfig.DialFunc(t.Context(), "tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for option, want := range test.want {
				if got := socketOption(t, conn, option); got != want {
					t.Errorf("TCP option %d is %d, want %d", option, got, want)
				}
			}
			for key := range config.ConnConfig.RuntimeParams {
				if strings.HasPrefix(key, "keepalives") || key == "tcp_user_timeout" {
					t.Errorf("%s would be sent to the server", key)
				}
			}
		})
	}
}

func socketOption(t *testing.T, conn net.Conn, option int) (value int) {
	t.Helper()
	socket, ok := conn.(syscall.Conn)
	if !ok {
		t.Fatalf("%T is no socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var optionErr error
	if err := raw.Control(func(fd uintptr) {
		value, optionErr = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
	}); err != nil || optionErr != nil {
		t.Fatal(err, optionErr)
	}
	return value
}

func TestTheFirstHostThatIsAPrimaryServes(t *testing.T) {
	raw := pgtest.URL(t)
	for name, url := range map[string]string{
		"after one that does not answer": strings.Replace(raw, "@", "@127.0.0.1:1,", 1),
		"when libpq asks for a primary":  raw + "&target_session_attrs=primary",
		"when libpq asks for read-write": raw + "&target_session_attrs=read-write",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), Options{URL: url, Schema: pgtest.Schema(t)})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnAbandonedStatementLosesItsConnectionInTime(t *testing.T) {
	s, err := Open(t.Context(), Options{URL: pgtest.URL(t), Schema: pgtest.Schema(t), AbandonedTimeout: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conn, err := s.appends.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	exit := &departure{conn: conn}
	done := make(chan error, 1)
	go func() {
		_, err := conn.Conn().PgConn().ExecParams(noContext, "SELECT pg_sleep(600)", nil, nil, nil, nil).Close()
		s.appends.left.leave(exit, false)
		done <- err
	}()
	if !s.appends.left.abandon(exit) {
		t.Fatal("the statement ended at once")
	}
	if err := <-done; err == nil || judge(err) != unknown {
		t.Errorf("the dropped statement ended with %v; want an error of the socket", err)
	}
	if n := s.appends.left.count(); n != 0 {
		t.Errorf("%d statements are still counted as abandoned", n)
	}
}
