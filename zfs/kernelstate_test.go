package zfs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What /proc/spl/kstat/zfs/POOL/txgs of OpenZFS 2.3.9 held; while 16 was on its way, its last number was 0.
const txgs = `txg      birth            state ndirty       nread        nwritten     reads    writes   otime        qtime        wtime        stime
14       175848446948     C     679936       0            135680       0        47       1444427225   20781        1705836      164528489
15       177292874173     C     0            0            102400       0        50       534204459    18066        7450746      80751221
16       177827078632     S     1134080      0            187904       0        80       5201162236   32248        5819030      0
17       183028240868     O     0            0            0            0        0        0            0            0            0
`

func TestLongestSync(t *testing.T) {
	const began = 177827078632 + 5201162236 + 32248 + 5819030
	for text, want := range map[string]time.Duration{
		txgs:                                   time.Minute,
		strings.Replace(txgs, " S ", " C ", 1): 0,
		"":                                     0,
		txgs + "18 177827078632 S 0 0 0 0 0 9000000000 0 0 0\n": time.Minute,
		"16 x S 1 1 1 1 1 1 1 1 1":                              0,
	} {
		if got := longestSync(text, began+time.Minute); got != want {
			t.Errorf("%s, want %s, of\n%s", got, want, text)
		}
	}
}

// syncingFor is a transaction group that has been on its way for so long.
func syncingFor(t *testing.T, d time.Duration) string {
	var now unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &now))
	return fmt.Sprintf("1 %d S 0 0 0 0 0 0 0 0 0\n", now.Nano()-d.Nanoseconds())
}

// OpenZFS calls a pool ONLINE that it tries in vain to write to.
func TestAPoolThatIsNeverWrittenIsSuspended(t *testing.T) {
	k := newKernel(t)
	c := &Client{Kstat: k.dir}
	for _, test := range []struct{ state, txgs, want string }{
		{"ONLINE\n", "", "ONLINE"},
		{"DEGRADED\n", "1 1 C 0 0 0 0 0 0 0 0 0\n", "DEGRADED"},
		{"ONLINE\n", syncingFor(t, stallLimit-time.Minute), "ONLINE"},
		{"ONLINE\n", syncingFor(t, stallLimit+time.Minute), Suspended},
		{"DEGRADED\n", longSync, Suspended},
		{"SUSPENDED\n", "", Suspended},
	} {
		k.tells("state", test.state)
		k.tells("txgs", test.txgs)
		if got := c.KernelState("zp1"); got != test.want {
			t.Errorf("%q with %q is %q, want %q", test.state, test.txgs, got, test.want)
		}
	}
	if got := c.KernelState("zp2"); got != "" {
		t.Errorf("of no pool it says %q", got)
	}
}
