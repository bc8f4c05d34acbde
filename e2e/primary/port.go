package primary

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
)

// Ports are given away in rows below the range from which the kernel gives them to
// clients (ip_local_port_range of ip(7)).
const (
	lowestPort = 20000
	rows       = 1500
	rowLength  = 8
)

// claims are the sockets that stand for the rows of this process, by first port:
// one that nobody refers to would be closed.
var claims sync.Map

// FreePort gives a TCP port that nobody listens on. It and the seven behind it are
// this process's until it ends, and nobody's else: a site does not listen on its
// own before its test has asked for the next, and a restore that is given no port
// takes the first behind the standby's.
func FreePort() (int, error) {
	for range 1000 {
		first := lowestPort + rowLength*rand.IntN(rows)
		if ours, err := claimRow(first); ours || err != nil {
			return first, err
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row from %d on in 1000 tries", rowLength, lowestPort)
}

// claimRow is false where a port of the row is in use, or the row is claimed. A
// claim is a socket in the abstract namespace (unix(7)), which is as wide as that of
// the ports, and of which nothing is left when its process ends, however it ends.
func claimRow(first int) (ours bool, err error) {
	claim, err := net.Listen("unix", fmt.Sprintf("@zreconcile-e2e-port-%d", first))
	if errors.Is(err, syscall.EADDRINUSE) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for port := first; port < first+rowLength; port++ {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false, claim.Close()
		}
		if err := l.Close(); err != nil {
			return false, errors.Join(err, claim.Close())
		}
	}
	claims.Store(first, claim)
	return true, nil
}
