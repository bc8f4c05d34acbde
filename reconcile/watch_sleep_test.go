package reconcile

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/fsnotify/fsnotify"

	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// sleeper is a watch at rest, with a clock that can be set.
type sleeper struct {
	*watching
	set    atomic.Int64 // how far the clock was set forward
	file   string
	loaded int
	reload chan os.Signal
	woke   chan error
}

func newSleeper(t *testing.T) *sleeper {
	t.Helper()
	s := &sleeper{file: filepath.Join(t.TempDir(), "site.yaml"), reload: make(chan os.Signal, 1), woke: make(chan error, 1)}
	if err := os.WriteFile(s.file, []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	host := &Host{Log: slog.New(slog.DiscardHandler), Clock: func() time.Time { return time.Now().Add(time.Duration(s.set.Load())) }}
	s.watching = &watching{host: host, files: files, check: 20 * time.Millisecond, retry: backoff.NewExponentialBackOff(), options: WatchOptions{
		Load:     func() (*spec.Site, error) { s.loaded++; return &spec.Site{}, nil },
		Paths:    func() []string { return []string{s.file, filepath.Dir(s.file)} },
		Concerns: func(path string) bool { return path == s.file },
		Notify:   func(string) error { return nil },
		Reload:   s.reload,
		Life:     &Life{},
	}}
	s.follow()
	return s
}

// sleeps sends the watch to sleep for an hour, and holds it to waking soon after
// something happens, and not before.
func (s *sleeper) sleeps(t *testing.T, happens func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { s.woke <- s.sleep(ctx, time.Hour) }()
	select {
	case err := <-s.woke:
		t.Fatalf("it woke from nothing: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	happens()
	select {
	case err := <-s.woke:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it sleeps on")
		cancel()
		if err := <-s.woke; err != nil {
			t.Error(err)
		}
	}
	cancel()
}

// What wakes a watch before its time (pitfall 50: a clock that is set, a machine
// that was suspended and whose timers stood still meanwhile).
func TestWhatWakesAWatch(t *testing.T) {
	t.Run("the clock is set past the time", func(t *testing.T) {
		s := newSleeper(t)
		s.sleeps(t, func() { s.set.Store(int64(2 * time.Hour)) })
	})
	t.Run("a suspended pool is cleared, well before the next light check", func(t *testing.T) {
		s := newSleeper(t)
		s.check = lightCheck
		s.host.ZFS = &zfs.Client{Kstat: kstatOf(t, "zp1", zfs.Suspended)}
		s.sight = Sight{host: s.host, site: givenSite(t), err: zfs.ErrSuspended}
		s.sleeps(t, func() { kernelSays(t, s.host.ZFS.Kstat, "zp1", "ONLINE") })
	})
	t.Run("SIGHUP", func(t *testing.T) {
		s := newSleeper(t)
		s.sleeps(t, func() { s.reload <- syscall.SIGHUP })
		if s.loaded != 1 {
			t.Errorf("the file was read %d times", s.loaded)
		}
	})
	t.Run("the file is written", func(t *testing.T) {
		s := newSleeper(t)
		s.sleeps(t, func() {
			if err := os.WriteFile(s.file, []byte("bb"), 0o600); err != nil {
				t.Error(err)
			}
		})
		if s.loaded != 1 {
			t.Errorf("the file was read %d times", s.loaded)
		}
	})
	t.Run("the file is changed and no event tells", func(t *testing.T) {
		s := newSleeper(t)
		for _, path := range s.files.WatchList() {
			if err := s.files.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		s.sleeps(t, func() {
			if err := os.WriteFile(s.file, []byte("ccc"), 0o600); err != nil {
				t.Error(err)
			}
		})
	})
}

// A clock that is set back wakes nobody, and is no reason to sleep longer than
// was asked for.
func TestAClockThatIsSetBack(t *testing.T) {
	s := newSleeper(t)
	s.set.Store(-int64(24 * time.Hour))
	began := time.Now()
	if err := s.sleep(t.Context(), 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it slept for %s", took)
	}
}
