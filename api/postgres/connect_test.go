package postgres

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
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
			config, err := ParseURL("postgres://u:p@"+listener.Addr().String()+"/d"+test.params, Network{})
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

func TestConnectingIsTriedAnewWhenItTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		here, there := net.Pipe()
		defer there.Close()
		// A network that loses all for two seconds, and then needs 20 ms.
		connect := func(ctx context.Context) (net.Conn, error) {
			if time.Since(began) < 2*time.Second {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(20 * time.Millisecond)
			return here, nil
		}
		conn, err := persist(t.Context(), connect)
		if err != nil || conn != here {
			t.Fatalf("it gives %v, %v", conn, err)
		}
		if took := time.Since(began); took != 300*time.Millisecond+600*time.Millisecond+1200*time.Millisecond+20*time.Millisecond {
			t.Errorf("it takes %s: the attempts are not of 300, 600 and 1200 ms", took)
		}
		refused := errors.New("refused")
		if _, err := persist(t.Context(), func(context.Context) (net.Conn, error) { return nil, refused }); !errors.Is(err, refused) {
			t.Errorf("a refusal becomes %v", err)
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := persist(ctx, connect); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("after %s it gives %v", time.Since(began), err)
		}
	})
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
