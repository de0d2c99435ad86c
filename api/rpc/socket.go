// Package rpc is how the operator and the pods reach each other: the messages are
// in leftfold/v1, the sockets here. Who may use them is api/identity's.
package rpc

import (
	"context"
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

// sendAgainAfter is how soon what was not acknowledged is sent again, beyond the time that
// a packet there and back takes. Twice what the other end may wait before it
// acknowledges.
const sendAgainAfter = 100 * time.Millisecond

// sendAgainSoon has the kernel send what was lost again after 100 ms, and each 100 ms
// then, six times (TCP_THIN_LINEAR_TIMEOUTS), where it would wait 200 ms, and twice
// as long each time. Nothing is heard on a connection meanwhile, and silence of a
// second is taken for a death: by itself TCP needs three losses in a row for that. Of
// five pings a second, with one packet of twenty lost, that befalls one every quarter
// of an hour, by calculation, and CI once. With both options it takes eight losses;
// kernels that have the first alone need four.
//
// It applies while less than four packets are under way, so it adds no load where a
// network is full. Connections that are accepted have it of the socket that listens.
// A kernel or a sandbox that has not got an option does without.
func sendAgainSoon(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_THIN_LINEAR_TIMEOUTS, 1)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_RTO_MIN_US, int(sendAgainAfter.Microseconds())) // Linux 6.15
	})
}
