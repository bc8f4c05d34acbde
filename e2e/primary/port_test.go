package primary

import (
	"fmt"
	"net"
	"runtime"
	"testing"
)

// A row is given away once, and whole: not while somebody listens on its last port,
// and not again, though nobody listens on it.
func TestFreePort(t *testing.T) {
	given := map[int]bool{}
	for range 100 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		for p := port; p < port+8; p++ {
			if given[p] {
				t.Fatalf("port %d was given away twice", p)
			}
			given[p] = true
		}
	}
	runtime.GC() // a claim that nothing refers to would be closed by now
	for port := range given {
		if (port-lowestPort)%rowLength != 0 {
			continue
		}
		if ours, err := claimRow(port); ours || err != nil {
			t.Fatalf("the row of port %d can be claimed again (%v)", port, err)
		}
	}
}

func TestRowInUse(t *testing.T) {
	first, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+7))
	if err != nil {
		t.Fatal(err)
	}
	giveUp(t, first)
	if ours, err := claimRow(first); ours || err != nil {
		t.Errorf("a row is claimed, and somebody listens on its last port (%v)", err)
	}
	l.Close()
	if ours, err := claimRow(first); !ours || err != nil {
		t.Errorf("a row that is free again can't be claimed (%v)", err)
	}
}

func giveUp(t *testing.T, first int) {
	t.Helper()
	claim, _ := claims.LoadAndDelete(first)
	if err := claim.(net.Listener).Close(); err != nil {
		t.Fatal(err)
	}
}
