package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// Beside a long step the standby is cared for, and only it, and only where
// nothing that it stands on is out of order.
func TestDueBeside(t *testing.T) {
	plan := func(changes ...Change) Plan { return Plan{Changes: changes} }
	due := Change{Kind: kindSnapshot, Action: Create}
	var failed State
	failed.fail(kindPool, ErrRefused)
	for name, test := range map[string]struct {
		plan  Plan
		state State
		want  bool
	}{
		"nothing":                {plan(), State{}, false},
		"a snapshot":             {plan(due), State{}, true},
		"an incomplete snapshot": {plan(Change{Kind: kindSnapshot, Action: Update}), State{}, true},
		"a blocked snapshot":     {plan(Change{Kind: kindSnapshot, Action: Block}), State{}, false},
		"the standby is down":    {plan(Change{Kind: kindStandby, Action: Start}), State{}, true},
		"a property drifted":     {plan(Change{Kind: kindDataset, Action: Update}), State{}, true},
		"the restore at work":    {plan(Change{Kind: kindRestore, Action: Create}), State{}, false},
		"retention and WAL":      {plan(Change{Kind: kindRetention, Action: Delete}, Change{Kind: kindWAL, Action: Delete}), State{}, false},
		"beside the drill":       {plan(due, Change{Kind: kindVerification, Action: Create}), State{}, true},
		"the pool is not there":  {plan(due, Change{Kind: kindPool, Action: Create}), State{}, false},
		"the pool is blocked":    {plan(due, Change{Kind: kindPool, Action: Block}), State{}, false},
		"a disk was replaced":    {plan(due, Change{Kind: kindPool, Action: Block, aside: true}), State{}, true},
		"no data directory":      {plan(due, Change{Kind: kindBasebackup, Action: Create}), State{}, false},
		"the pool not observed":  {plan(due), failed, false},
	} {
		if got := dueBeside(test.plan, test.state); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// asking counts how often an apply beside came as far as to look at the host:
// without zfs that fails, and is said.
type asking struct {
	slog.Handler
	n    atomic.Int64
	said atomic.Value // the last record
}

func (a *asking) Enabled(context.Context, slog.Level) bool { return true }
func (a *asking) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelError {
		a.n.Add(1)
		r.Attrs(func(attr slog.Attr) bool { a.said.Store(attr.String()); return attr.Key != "error" })
	}
	return nil
}

// An apply beside is for long steps and for waits. Where the lock is free the
// watch has it first, time and again.
func TestAFreeLockIsTheWatchsOwn(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	h, asked := lockingHost(t), &asking{}
	h.Log = slog.New(asked)
	w := &watching{host: h, options: WatchOptions{LockTimeout: time.Minute}}
	w.site.Store(&spec.Site{Name: "a", Pool: spec.Pool{Name: "tank"}})
	for range 300 {
		release, err := w.lock(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	if n := asked.n.Load(); n != 0 {
		t.Errorf("an apply beside was before the watch %d times", n)
	}
}

// While another run holds the lock and is in a long step, the standby is cared
// for, as the file says by then: that run may have applied what it says.
func TestTheStandbyIsCaredForWhileAWatchWaits(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	h, asked := lockingHost(t), &asking{}
	h.Log = slog.New(asked)
	other := h.beside(nil)
	held, err := other.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	site := func(name, pool string) *spec.Site { return &spec.Site{Name: name, Pool: spec.Pool{Name: pool}} }
	w := &watching{host: h, options: WatchOptions{LockTimeout: time.Second}}
	for _, test := range []struct {
		now  *spec.Site
		err  error
		pool string // that it looks at
	}{
		{site("a", "new"), nil, "new"},
		{nil, errors.New("the file is broken"), "old"},
		{site("another", "new"), nil, "old"},
	} {
		w.site.Store(site("a", "old"))
		w.options.Load = func() (*spec.Site, error) { return test.now, test.err }
		asked.said.Store("nothing")
		err = other.aside(t.Context(), func() error {
			_, err := w.lock(t.Context(), "a")
			return err
		})
		if !errors.Is(err, ErrLocked) {
			t.Errorf("it ended with %v", err)
		}
		if said := asked.said.Load().(string); !strings.Contains(said, "pool "+test.pool) {
			t.Errorf("it was to look at the pool %s: %s", test.pool, said)
		}
	}
}

// Beside a long step of the watch itself the site is that which the watch read with
// the lock in hand: neither the one from before nor one that it has yet to read.
func TestTheStandbyIsCaredForAsTheWatchReadTheFile(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	h, asked := lockingHost(t), &asking{}
	h.Log = slog.New(asked)
	site := func(pool string) *spec.Site { return &spec.Site{Name: "a", Pool: spec.Pool{Name: pool}} }
	w := &watching{host: h, options: WatchOptions{Load: func() (*spec.Site, error) { return site("later"), nil }}}
	w.site.Store(site("old"))
	release, err := w.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	time.Sleep(2 * lockPoll) // who cares for the standby waits for the lock
	w.site.Store(site("new"))
	err = h.aside(t.Context(), func() error {
		for asked.n.Load() == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return nil
	})
	if said, _ := asked.said.Load().(string); err != nil || !strings.Contains(said, "pool new") {
		t.Errorf("it was to look at the pool new: %s, %v", said, err)
	}
}

// Who cares for the standby reads no WAL for restores: it takes over what is
// known of them, or does without.
func TestRestoresAreNotProvedBeside(t *testing.T) {
	site := givenSite(t, "snapshots:\n", "restores: [{name: r1, port: 1923, target: {latest: true}}]\nsnapshots:\n")
	state := converged(t, site)
	in := &view{site: site, state: &state, now: givenNow}
	h := lockingHost(t)
	look := func(h *Host) Resolution {
		state.Resolved = map[string]Resolution{}
		h.observeRestores(t.Context(), in)
		return state.Resolved["r1"]
	}
	if look(h).Refused == "" {
		t.Fatal("there is no WAL on this host, and still r1 is proved")
	}
	if got := look(h.beside(nil)); !reflect.DeepEqual(got, Resolution{}) {
		t.Errorf("beside, of what is not known: %+v", got)
	}
	known := map[string]Resolution{"r1": {Refused: "as before"}}
	if got := look(h.beside(known)); got.Refused != "as before" {
		t.Errorf("beside, of what is known: %+v", got)
	}
}
