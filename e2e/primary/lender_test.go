package primary

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestLender lends no primary twice at a time, one of the kind that is asked for,
// and makes none while one is idle.
func TestLender(t *testing.T) {
	made := 0
	l := &Lender{Make: func(kind Kind) (*Primary, error) {
		made++
		return &Primary{Kind: kind}, nil
	}}
	lend := func(kind Kind) *Primary {
		t.Helper()
		p, err := l.Lend(kind)
		if err != nil || p.Kind != kind {
			t.Fatalf("lent %+v (%v), want one of the kind %s", p, err, kind)
		}
		return p
	}
	one, other := lend(Plain), lend(Plain)
	if one == other {
		t.Error("one primary is lent to two at a time")
	}
	l.GiveBack(one)
	odd := lend(Odd)
	if again := lend(Plain); again != one {
		t.Error("another was made while one was idle")
	}
	l.GiveBack(odd)
	l.GiveBack(other)
	lend(Odd)
	lend(Plain)
	if made != 3 {
		t.Errorf("%d were made of the 3 that were lent at a time", made)
	}
}

// What is left of one that could not be made goes, and all that were made go at the end.
func TestLenderDestroys(t *testing.T) {
	var fails error
	var dirs []string
	l := &Lender{Make: func(kind Kind) (*Primary, error) {
		dir := t.TempDir()
		dirs = append(dirs, dir)
		return &Primary{Kind: kind, Dir: dir, DataDir: filepath.Join(dir, "data")}, fails
	}}
	gone := func(dir string) bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}
	if _, err := l.Lend(Plain); err != nil {
		t.Fatal(err)
	}
	p, err := l.Lend(Plain)
	if err != nil {
		t.Fatal(err)
	}
	l.GiveBack(p)
	fails = errors.New("no such kind")
	if _, err := l.Lend(Managed); !errors.Is(err, fails) || !gone(dirs[2]) {
		t.Errorf("of one that could not be made something is left (%v)", err)
	}
	if err := l.Destroy(); err != nil || !gone(dirs[0]) || !gone(dirs[1]) {
		t.Errorf("something is left (%v)", err)
	}
}
