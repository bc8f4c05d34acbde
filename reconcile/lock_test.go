package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
)

func lockingHost(t *testing.T) *Host {
	t.Helper()
	h := NewHost(slog.New(slog.DiscardHandler))
	h.Folders.Run = t.TempDir()
	return h
}

// lockingHosts are two runs on one machine.
func lockingHosts(t *testing.T) (h, other *Host) {
	t.Helper()
	h, other = lockingHost(t), lockingHost(t)
	other.Folders = h.Folders
	return h, other
}

// A long step gives up what guards the standby and its snapshots, and nothing
// else; it comes back to the lock only when whoever cares for them has ended.
func TestTheStandbyIsCaredForBesideALongStep(t *testing.T) {
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.LockStandby(t.Context(), "a", 0); !errors.Is(err, ErrLocked) {
		t.Fatalf("in the middle of an apply: %v", err)
	}
	third := other.beside(nil)
	err = h.aside(t.Context(), func() error {
		if _, err := other.Lock(t.Context(), "a", 0); !errors.Is(err, ErrLocked) {
			t.Errorf("a second apply beside the long step: %v", err)
		}
		beside, err := third.LockStandby(t.Context(), "a", 0)
		if err == nil {
			time.AfterFunc(50*time.Millisecond, beside.Release)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(lock.files()) != 2 {
		t.Fatal("the step came back before the snapshot had ended")
	}
	if _, err := other.LockStandby(t.Context(), "a", 0); !errors.Is(err, ErrLocked) {
		t.Errorf("after the long step: %v", err)
	}
	lock.Release()
	if _, err := other.Lock(t.Context(), "a", 0); err != nil {
		t.Errorf("after the apply: %v", err)
	}
}

// The step's own error is told, and so is the end of the wait for the lock.
func TestALongStepThatFails(t *testing.T) {
	h, other := lockingHosts(t)
	if _, err := h.Lock(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	missed, ctx := errors.New("missed its target"), t.Context()
	ctx, cancel := context.WithCancel(ctx)
	err := h.aside(ctx, func() error {
		if _, err := other.LockStandby(ctx, "a", 0); err != nil {
			t.Error(err)
		}
		cancel()
		return missed
	})
	if !errors.Is(err, missed) || !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// A killed run's program keeps what its run held when it was started: the whole
// lock, or beside a long step all but what guards the standby.
func TestProgramsInheritTheLock(t *testing.T) {
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	sleeping := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "sleep", "60")
		cmd.ExtraFiles = lock.files()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	var long *exec.Cmd
	if err := h.aside(t.Context(), func() error { long = sleeping(); return nil }); err != nil {
		t.Fatal(err)
	}
	lock.Release() // what the kernel does for a run that is killed
	if _, err := other.Lock(t.Context(), "a", 0); !errors.Is(err, ErrLocked) {
		t.Errorf("beside a program of the killed run: %v", err)
	}
	snapshots, err := other.LockStandby(t.Context(), "a", 0)
	if err != nil {
		t.Fatalf("a snapshot beside the program of a long step: %v", err)
	}
	snapshots.Release()
	_ = long.Process.Kill()
	_ = long.Wait()

	if lock, err = h.Lock(t.Context(), "a", 0); err != nil {
		t.Fatal(err)
	}
	short := sleeping()
	lock.Release()
	if _, err := other.LockStandby(t.Context(), "a", 0); !errors.Is(err, ErrLocked) {
		t.Errorf("a snapshot beside a program of the killed run: %v", err)
	}
	_ = short.Process.Kill()
	_ = short.Wait()
}

func TestWhoWaitsIsToldForWhat(t *testing.T) {
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	lock.doing("verification zr-20260101T000000Z")
	lock.doing("restore x")
	_, err = other.Lock(t.Context(), "a", 0)
	want := fmt.Sprintf("by process %d, which is at restore x since ", os.Getpid())
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "verification") {
		t.Errorf("%v does not say %q alone", err, want)
	}
}

// A run that ended is not taken for the one that is waited for, such as a snapshot
// that a person takes, which says nothing of itself.
func TestWhoWaitsIsNotToldOfWhoEnded(t *testing.T) {
	h, other := lockingHosts(t)
	ended, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	ended.doing("restore x")
	ended.Release()
	snapshot, err := h.LockStandby(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer snapshot.Release()
	if _, err := other.Lock(t.Context(), "a", 0); !errors.Is(err, ErrLocked) || strings.Contains(err.Error(), "restore x") {
		t.Errorf("it is told: %v", err)
	}
}

// A drill gives way to a restore that waits for it, and to nothing less.
func TestADrillGivesWay(t *testing.T) {
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := h.givingWay(t.Context(), "a")
	defer cancel()
	if _, err := other.Lock(t.Context(), "a", 2*wayPoll); !errors.Is(err, ErrLocked) || ctx.Err() != nil {
		t.Fatalf("it gave way to what is not urgent: %v, %v", err, context.Cause(ctx))
	}
	context.AfterFunc(ctx, lock.Release)
	urgent, err := other.LockUrgently(t.Context(), "a", time.Minute)
	if err != nil || !errors.Is(context.Cause(ctx), errGaveWay) {
		t.Fatalf("it did not give way: %v, %v", err, context.Cause(ctx))
	}
	defer urgent.Release()
	if waits, err := h.byteHeld("a", urgentByte); waits || err != nil {
		t.Errorf("who has the lock waits still: %v", err)
	}
}

// standIn is a server that starts when it is told to.
type standIn struct {
	postgres.Service
	start func() error
}

func (standIn) Install(context.Context) (bool, error) { return false, nil }
func (s standIn) Start(context.Context) error         { return s.start() }

// A run that cares for the standby beside a long step may take longer than that
// step may, such as the start of a standby that crashed: a clone that came up in
// time is not thrown away for it, and no drill fails.
func TestTheLimitOfALongStepIsItsOwn(t *testing.T) {
	const limit = 200 * time.Millisecond
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	dir := t.TempDir()
	self := postgres.OSUser{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	in := &view{state: &State{Paths: Paths{Sockets: filepath.Join(dir, "a")}, Server: Server{User: self}}}
	clone := cloneServer{server: server{
		cluster:    &postgres.Cluster{SocketDir: filepath.Join(dir, "a", "clone"), User: self},
		socketMode: 0o700,
		service: standIn{start: func() error {
			beside, err := other.LockStandby(t.Context(), "a", 0)
			if err == nil {
				time.AfterFunc(3*limit, beside.Release)
			}
			return err
		}},
	}}
	if err := h.startClonesServer(t.Context(), limit, in, clone); err != nil {
		t.Error(err)
	}
	if len(lock.files()) != 2 {
		t.Error("it goes on with a part of the lock")
	}
}

// What is done while a clone starts, such as the release of a hold, runs programs
// that inherit the lock without the part that is given up, and ends before that is
// taken back: it would be kept by them, or its file closed under them.
func TestWhatIsDoneWhileACloneStartsHasItsPartOfTheLock(t *testing.T) {
	h, _ := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	dir := t.TempDir()
	self := postgres.OSUser{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	in := &view{state: &State{Paths: Paths{Sockets: filepath.Join(dir, "a")}, Server: Server{User: self}}}
	var inherited []int
	clone := cloneServer{server: server{
		cluster:    &postgres.Cluster{SocketDir: filepath.Join(dir, "a", "clone"), User: self},
		socketMode: 0o700,
		service:    standIn{start: func() error { return nil }},
	}, beside: func() {
		inherited = append(inherited, len(lock.files()))
		time.Sleep(300 * time.Millisecond) // the server is up long before
		inherited = append(inherited, len(lock.files()))
	}}
	if err := h.startClonesServer(t.Context(), time.Minute, in, clone); err != nil {
		t.Fatal(err)
	}
	if want := []int{1, 1}; !slices.Equal(inherited, want) {
		t.Errorf("its programs inherit %v parts of the lock, want %v", inherited, want)
	}
}

// A drill that gave way does not wait for who cares for the standby; what comes
// after it in the apply does.
func TestNothingIsDecidedWithAPartOfTheLock(t *testing.T) {
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	drill, giveWay := context.WithCancelCause(t.Context())
	err = h.aside(drill, func() error {
		beside, err := other.LockStandby(t.Context(), "a", 0)
		if err == nil {
			time.AfterFunc(500*time.Millisecond, beside.Release)
		}
		giveWay(errGaveWay)
		return err
	})
	if !errors.Is(err, errGaveWay) || len(lock.files()) != 1 {
		t.Fatalf("it ended with %v and %d parts of the lock", err, len(lock.files()))
	}
	if err := (&applying{host: h}).refresh(t.Context()); err != nil || len(lock.files()) != 2 {
		t.Errorf("it goes on with %d parts of the lock: %v", len(lock.files()), err)
	}
}

// Whoever gave way, and wants the lock again at once, such as a watch to which
// other things are due, gets it after the urgent run.
func TestAnUrgentRunGoesFirst(t *testing.T) {
	h, other := lockingHosts(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	var urgent *Lock
	go func() {
		var err error
		urgent, err = other.LockUrgently(t.Context(), "a", time.Minute)
		got <- err
	}()
	for waits := false; !waits; time.Sleep(time.Millisecond) {
		if waits, err = h.byteHeld("a", urgentByte); err != nil {
			t.Fatal(err)
		}
	}
	lock.Release()
	if _, err := h.Lock(t.Context(), "a", 0); !errors.Is(err, ErrLocked) {
		t.Errorf("it went before the urgent run: %v", err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	urgent.Release()
	if _, err := h.Lock(t.Context(), "a", 0); err != nil {
		t.Errorf("after the urgent run: %v", err)
	}
}

// That the lock can't be had again says nothing of the snapshot that a drill is
// about.
func TestALockThatIsLostIsNoVerdict(t *testing.T) {
	h := lockingHost(t)
	lock, err := h.Lock(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	if h.Folders.Run = filepath.Join(t.TempDir(), "file"); os.WriteFile(h.Folders.Run, nil, 0o600) != nil {
		t.Fatal("no file can be made")
	}
	err = h.aside(t.Context(), func() error { return nil })
	if err == nil || !noVerdict(t.Context(), err) {
		t.Errorf("it is a verdict: %v", err)
	}
}
