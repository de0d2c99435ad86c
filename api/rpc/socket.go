// Package rpc is how the operator and the pods reach each other: the messages are
// in leftfold/v1, the sockets here. Who may use them is api/identity's.
package rpc

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dialer makes connections that stand the loss of packets; connecting takes no
// longer than timeout.
func Dialer(timeout time.Duration) *net.Dialer {
	return &net.Dialer{Timeout: timeout, Control: sendAgainSoon}
}

// Listen takes connections that stand the loss of packets, at a TCP address.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	config := net.ListenConfig{Control: sendAgainSoon}
	config.SetMultipathTCP(false) // such a socket does not hand its options on
	return config.Listen(ctx, "tcp", address)
}

// rtoMin is how soon what was not acknowledged is sent again, beyond the time that
// a packet there and back takes. Twice what the other end may wait before it
// acknowledges.
const rtoMin = 100 * time.Millisecond

// sendAgainSoon has the kernel send what was lost again after 100 ms, and each 100 ms
// then, six times (TCP_THIN_LINEAR_TIMEOUTS), where it would wait 200 ms, and twice
// as long each time. Nothing is heard on a connection meanwhile, and silence of a
// second is taken for a death. With one packet of twenty lost, and five pings a
// second, three losses in a row are enough for that otherwise, which come every
// quarter of an hour; kernels that begin at 200 ms in any case need four, and with
// both it takes eight. It applies while less than four packets are under way, so it
// adds no load where a network is full. Connections that are accepted have it of the
// socket that listens.
func sendAgainSoon(_, _ string, raw syscall.RawConn) error {
	var refused error
	err := raw.Control(func(fd uintptr) {
		for option, value := range map[int]int{
			unix.TCP_THIN_LINEAR_TIMEOUTS: 1,
			unix.TCP_RTO_MIN_US:           int(rtoMin.Microseconds()), // since Linux 6.15
		} {
			err := unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, option, value)
			if !errors.Is(err, unix.ENOPROTOOPT) {
				refused = errors.Join(refused, err)
			}
		}
	})
	return errors.Join(err, refused)
}
