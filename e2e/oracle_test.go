package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/e2e/primary"
)

// oracleTrial is how long one primary is worked on before the next one is made.
const oracleTrial = 4 * time.Minute

// The primaries of the oracle: each size of WAL segments that is met in the
// field, with checksums and without.
var oraclePrimaries = []primary.Options{
	{SegmentMB: 1},
	{SegmentMB: 16, NoChecksums: true},
	{SegmentMB: 64},
}

// TestOracle holds restores to random moments of a ledger's life against what
// pg_waldump tells of it: each is exact, or refused for a reason that the oracle
// knows. Snapshots, restarts of both servers and a failover fall between.
//
// ZRECONCILE_ORACLE_SEED repeats the choices of a run, if not the interleaving
// of its writers; ZRECONCILE_ORACLE_DURATION is for all trials together.
// ZRECONCILE_ORACLE_TARGETS fails a run that judged fewer.
func TestOracle(t *testing.T) {
	t.Parallel() // it takes the time it is given, whatever runs beside it
	askOracle(t, oraclePrimaries, 2*time.Minute, 20)
}

func askOracle(t *testing.T, primaries []primary.Options, length time.Duration, number int) {
	t.Helper()
	seed := environment(t, "ZRECONCILE_ORACLE_SEED", rand.Uint64(), func(text string) (uint64, error) { return strconv.ParseUint(text, 10, 64) })
	duration := environment(t, "ZRECONCILE_ORACLE_DURATION", length, time.ParseDuration)
	least := environment(t, "ZRECONCILE_ORACLE_TARGETS", number, strconv.Atoi)
	t.Logf("ZRECONCILE_ORACLE_SEED=%d ZRECONCILE_ORACLE_DURATION=%s", seed, duration)
	all := tally{refused: map[string]int{}}
	share := min(oracleTrial, duration/time.Duration(len(primaries)))
	for i := 0; time.Duration(i)*share < duration && all.failures < 10; i++ {
		o := primaries[i%len(primaries)]
		t.Run(fmt.Sprintf("%d-segments of %d MB", i, o.SegmentMB), func(t *testing.T) {
			newTrial(t, o, seed, i, &all).run(share)
		})
	}
	t.Logf("ZRECONCILE_ORACLE_SEED=%d: %s", seed, all)
	if all.targets() < least {
		t.Errorf("%d targets were judged, fewer than %d", all.targets(), least)
	}
}

// environment reads a variable, or gives what holds without it.
func environment[T any](t *testing.T, name string, otherwise T, parse func(string) (T, error)) T {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := parse(text)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, text, err)
	}
	return value
}

// tally counts what became of the targets.
type tally struct {
	exact, failures int
	refused         map[string]int // rightly, by reason
	spent           time.Duration  // on the applies that made them
}

func (t tally) targets() int {
	n := t.exact + t.failures
	for _, times := range t.refused {
		n += times
	}
	return n
}

func (t tally) String() string {
	var reasons []string
	refused := 0
	for why, n := range t.refused {
		refused += n
		reasons = append(reasons, fmt.Sprintf("%d %s", n, why))
	}
	sort.Strings(reasons)
	return fmt.Sprintf("%d targets: %d exact, %d rightly refused (%s), %d failures; %.1f targets a minute of apply",
		t.targets(), t.exact, refused, strings.Join(reasons, ", "), t.failures, float64(t.targets())/max(t.spent.Minutes(), 0.001))
}
