package rpc_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/leftfold/leftfold/api/rpc"
)

func TestBothEndsSendAgainSoon(t *testing.T) {
	listener, err := rpc.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dialled, err := rpc.Dialer(time.Minute).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialled.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for end, conn := range map[string]net.Conn{"dialled": dialled, "accepted": accepted} {
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		err = raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS); got != 1 || err != nil {
				t.Errorf("%s: TCP_THIN_LINEAR_TIMEOUTS is %d, %v", end, got, err)
			}
			got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MIN_US)
			if !errors.Is(err, unix.ENOPROTOOPT) && (got != 100_000 || err != nil) {
				t.Errorf("%s: TCP_RTO_MIN_US is %d, %v", end, got, err)
			}
			t.Logf("%s: TCP_RTO_MIN_US is %d, %v", end, got, err)
		})
		if err != nil {
			t.Error(err)
		}
	}
}
