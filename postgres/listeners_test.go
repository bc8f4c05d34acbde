package postgres

import (
	"net"
	"os"
	"testing"
)

func TestListenersNameWhoHasAPort(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := l.Addr().(*net.TCPAddr).Port
		got, err := Listeners(port)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Port != port || got[0].PID != os.Getpid() || got[0].Program == "" {
			t.Errorf("on %s: %+v, want this process (%d)", l.Addr(), got, os.Getpid())
		}
		if other, err := Listeners(); err != nil || len(other) != 0 {
			t.Errorf("asked for no port: %v, %v", other, err)
		}
	}
}

func TestListenersOfAFreePort(t *testing.T) {
	if got, err := Listeners(freePort(t)); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
