package reconcile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A copy is known as one; another build of the same commit, of the same size and
// time, is not taken for it.
func TestFileIDTellsBuildsApart(t *testing.T) {
	dir := t.TempDir()
	built := time.Unix(1_700_000_000, 0)
	id := func(name, content string) FileID {
		path := filepath.Join(dir, name)
		if err := installProgram(path, []byte(content), built); err != nil {
			t.Fatal(err)
		}
		id, err := fileID(path)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	own := id("own", "build 1")
	if same := id("copy", "build 1"); same != own {
		t.Errorf("a copy is %v, and the original %v", same, own)
	}
	if other := id("copy", "build 2"); other == own {
		t.Errorf("another build is taken for a copy: %v", other)
	}
	if err := os.Remove(filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	if id, err := fileID(filepath.Join(dir, "copy")); err != nil || id != (FileID{}) {
		t.Errorf("a missing file is %v, %v", id, err)
	}
}

// PostgreSQL calls a copy of the running program or, where that has a smaller one
// for it, that; either is told from what another build has left there.
func TestTheCopyIsOfTheSmallProgramWhereThereIsOne(t *testing.T) {
	dir := t.TempDir()
	self, helper := filepath.Join(dir, "self"), filepath.Join(dir, "lib", "zreconcile")
	if err := installProgram(self, []byte("the whole program"), time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	for _, small := range []string{"", "wal alone", "wal alone, newer", ""} {
		h := &Host{Self: self, WALProgram: small}
		want, err := h.programID(FileID{})
		if err != nil {
			t.Fatal(err)
		}
		if have, err := fileID(helper); err != nil || have == want {
			t.Errorf("%q: what another build left is taken for it (%v)", small, err)
		}
		if err := h.copyProgram(helper); err != nil {
			t.Fatal(err)
		}
		if have, err := fileID(helper); err != nil || have != want {
			t.Errorf("%q: the copy is %v and should be %v (%v)", small, have, want, err)
		}
		if content, err := os.ReadFile(helper); err != nil || string(content) != cmp.Or(small, "the whole program") {
			t.Errorf("%q: it holds %q, %v", small, content, err)
		}
	}
	if err := os.Remove(self); err != nil { // the package was removed: what is there stays
		t.Fatal(err)
	}
	if id, err := (&Host{Self: self, WALProgram: "wal alone"}).programID(FileID{}); err != nil || id != (FileID{}) {
		t.Errorf("of a program that is gone: %v, %v", id, err)
	}
}

// A watch goes on with the program that it was started from. Once that was replaced,
// it leaves what the new one gave PostgreSQL alone, whatever it has itself.
func TestAnUpgradedProgramIsNotPutBack(t *testing.T) {
	dir := t.TempDir()
	self, helper := filepath.Join(dir, "self"), filepath.Join(dir, "lib", "zreconcile")
	started := func(program, small string, built int64) *Host {
		t.Helper()
		if err := installProgram(self, []byte(program), time.Unix(built, 0)); err != nil {
			t.Fatal(err)
		}
		id, err := fileID(self)
		if err != nil {
			t.Fatal(err)
		}
		return &Host{Self: self, self: id, WALProgram: small}
	}
	old := started("the old program", "old", 1_700_000_000)
	if err := old.copyProgram(helper); err != nil {
		t.Fatal(err)
	}
	for _, upgraded := range []*Host{started("the new program", "new", 1_800_000_000), started("one without a small one", "", 1_900_000_000)} {
		if err := upgraded.copyProgram(helper); err != nil {
			t.Fatal(err)
		}
		have, err := fileID(helper)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []*Host{old, upgraded} {
			if want, err := h.programID(have); err != nil || want != have {
				t.Errorf("with %q it should be %v and is %v (%v)", h.WALProgram, want, have, err)
			}
		}
		if err := old.copyProgram(helper); err != nil {
			t.Fatal(err)
		}
		if after, err := fileID(helper); err != nil || after != have {
			t.Errorf("the old program put %v in the place of %v (%v)", after, have, err)
		}
	}
}

// The head of a real program reaches to the end of its build ID, which is a note of
// type 4 (elf(5)) of the owner "Go".
func TestTheHeadHasTheBuildID(t *testing.T) {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	owner := []byte("\x04\x00\x00\x00Go\x00\x00")
	at := bytes.Index(program, owner)
	if at < 8 {
		t.Fatal("it has no build ID")
	}
	size := int(binary.NativeEndian.Uint32(program[at-4:]))
	if end := at + len(owner) + size; size == 0 || end > headBytes {
		t.Errorf("the build ID of %d bytes ends at %d, and %d bytes are read", size, end, headBytes)
	}
}
