package zfs

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A whole disk whose partition udev has not linked yet is tried again; one that is
// not there is not, nor is any other refusal.
func TestCreatePoolWaitsForUdev(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const behind = "cannot create 'tank': no such pool or dataset\n"
	for _, test := range []struct {
		name, device, words string
		fails, runs         int
		want                error
	}{
		{"udev is behind", disk, behind, 1, 2, nil},
		{"created all the same", disk, behind + "cannot create 'tank': pool already exists\n", 2, 2, ErrNotFound},
		{"no disk", disk + "2", "cannot resolve path '" + disk + "2'\n", 9, 1, ErrOther},
		{"no disk, in other words", disk + "2", behind, 9, 1, ErrNotFound},
		{"in use", disk, disk + " is in use and contains a ext4 filesystem.\n", 9, 1, ErrInUse},
	} {
		t.Run(test.name, func(t *testing.T) {
			runs := 0
			c := New(func(cmd *exec.Cmd) error {
				if runs++; runs > test.fails {
					return nil
				}
				lines := strings.SplitAfter(test.words, "\n")
				_, _ = io.WriteString(cmd.Stderr, lines[min(runs, len(lines)-1)-1])
				return errors.New("exit status 1")
			})
			err := c.CreatePool(t.Context(), PoolSpec{Name: "tank", Vdevs: []VdevSpec{{Devices: []string{test.device}}}})
			if !errors.Is(err, test.want) || runs != test.runs {
				t.Errorf("%v after %d runs", err, runs)
			}
		})
	}
}
