package wal

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// A copy has the content of its original, holes or not.
func TestCopyFileHasTheSameContent(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		var content []byte
		for range rapid.IntRange(0, 30).Draw(t, "pieces") {
			piece := make([]byte, rapid.SampledFrom([]int{1, 8192, holeSize - 1, holeSize, copyBuffer}).Draw(t, "size"))
			if rapid.Bool().Draw(t, "written") {
				piece[rapid.IntRange(0, len(piece)-1).Draw(t, "at")] = 1
			}
			content = append(content, piece...)
		}
		f, err := os.Create(filepath.Join(dir, "copy"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sum, err := copyFile(t.Context(), f, bytes.NewReader(content))
		if err != nil || sum.size != int64(len(content)) {
			t.Fatalf("%d bytes of %d, %v", sum.size, len(content), err)
		}
		if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, content) {
			t.Fatalf("a copy of %d bytes has %d and another content, %v", len(content), len(got), err)
		}
	})
}

// What was never written of a segment takes no space.
func TestCopyFileLeavesHoles(t *testing.T) {
	const size = 16 << 20
	content := make([]byte, size)
	copy(content, "written")
	f, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := copyFile(t.Context(), f, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if blocks := info.Sys().(*syscall.Stat_t).Blocks; info.Size() != size || blocks*512 > size/16 {
		t.Errorf("%d bytes take %d blocks", info.Size(), blocks)
	}
}
