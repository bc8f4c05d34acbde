package zfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// ContentKind says what a device holds, as far as creating a pool on it is concerned.
type ContentKind string

// From harmless to never. A label wins over everything else.
const (
	Missing        ContentKind = "missing"
	Empty          ContentKind = "empty"
	Filesystem     ContentKind = "filesystem" // or swap space, a RAID or LVM member: any signature
	PartitionTable ContentKind = "partition table"
	InUse          ContentKind = "in use" // mounted, swapped to, or part of a larger device
	Label          ContentKind = "ZFS label"
)

// Content is what Probe found.
type Content struct {
	Kind               ContentKind
	Detail             string // for a person: pool "zp0" (guid ...), exported; ext4; gpt
	PoolName, PoolGUID string // of a label that names a pool
	PoolState          string // of a label: active, exported, destroyed, spare, l2cache
}

// Probe finds out what a disk, a partition or a plain file holds. ZFS labels are read from all four places
// of the device and of its partitions (a whole disk of OpenZFS on Linux is one partitioned by it), other
// signatures by blkid -p, which does not trust a cache. run is the seam of Client. What cannot be read is
// an error, never Empty.
func Probe(ctx context.Context, run func(*exec.Cmd) error, device string) (Content, error) {
	info, err := os.Stat(device)
	if errors.Is(err, fs.ErrNotExist) {
		return Content{Kind: Missing, Detail: "does not exist"}, nil
	}
	if err != nil {
		return Content{}, fmt.Errorf("probe %s: %w", device, err)
	}
	block := info.Mode().Type() == fs.ModeDevice
	if !block && !info.Mode().IsRegular() {
		return Content{}, fmt.Errorf("probe %s: it is neither a block device nor a plain file", device)
	}
	label, err := labelOf(device)
	if err != nil {
		return Content{}, fmt.Errorf("probe %s: %w", device, err)
	}
	if label != nil {
		return label.content(), nil
	}
	if block {
		use, err := usedBy(append(partitions(device), device))
		if err != nil || use != "" {
			return Content{Kind: InUse, Detail: use}, err
		}
	}
	return signature(ctx, run, device)
}

// labelOf reads the label of a device, or of one of its partitions.
func labelOf(device string) (*VdevLabel, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	for _, part := range append([]span{{0, size}}, gptPartitions(f, size)...) {
		label, err := ReadLabel(io.NewSectionReader(f, part.start, part.size), part.size)
		if err != nil || label != nil {
			return label, err
		}
	}
	return nil, nil
}

func (l VdevLabel) content() Content {
	detail := "a ZFS device, " + l.State
	if l.PoolName != "" {
		detail = fmt.Sprintf("pool %q (guid %s), %s", l.PoolName, l.PoolGUID, l.State)
	}
	if l.HostName != "" {
		detail += ", last used by host " + l.HostName
	}
	return Content{Kind: Label, Detail: detail, PoolName: l.PoolName, PoolGUID: l.PoolGUID, PoolState: l.State}
}

// partitions lists the partitions that the kernel knows of a disk.
func partitions(device string) []string {
	sys := sysOf(device)
	markers, _ := filepath.Glob(filepath.Join(sys, "*", "partition"))
	var parts []string
	for _, marker := range markers {
		parts = append(parts, "/dev/"+filepath.Base(filepath.Dir(marker)))
	}
	return parts
}

func sysOf(device string) string {
	return "/sys/dev/block/" + deviceNumber(device)
}

// deviceNumber is major:minor of a block device, or "".
func deviceNumber(device string) string {
	var st unix.Stat_t
	if unix.Stat(device, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	return fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
}

// usedBy says who uses a disk or one of its partitions: a mount, swap, or a device built upon it.
func usedBy(parts []string) (string, error) {
	mounts, err := mountsOf("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	swaps, err := os.ReadFile("/proc/swaps")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read what is swapped to: %w", err)
	}
	for _, part := range parts {
		number := deviceNumber(part)
		for _, m := range mounts {
			if m.Device == number {
				return part + " is mounted at " + m.Target, nil
			}
		}
		for line := range strings.Lines(string(swaps)) {
			path, _, _ := strings.Cut(line, " ")
			if strings.HasPrefix(path, "/dev/") && deviceNumber(path) == number {
				return part + " is swap space", nil
			}
		}
		holders, _ := os.ReadDir(filepath.Join(sysOf(part), "holders"))
		if len(holders) > 0 {
			return part + " is part of " + holders[0].Name(), nil
		}
	}
	return "", nil
}

// blkid(8), "RETURN CODE", with -p: nothing found; several signatures that contradict one another.
const (
	blkidNothing   = 2
	blkidAmbiguous = 8
)

// signature asks blkid. Its export format is KEY=value a line.
func signature(ctx context.Context, run func(*exec.Cmd) error, device string) (Content, error) {
	if run == nil {
		run = (*exec.Cmd).Run
	}
	ctx, cancel := context.WithTimeout(ctx, listDeadline)
	defer cancel()
	var out lockedBuffer
	err := execute(ctx, run, &out, device, []string{"blkid", "-p", "-o", "export", device})
	var failed *Error
	if errors.As(err, &failed) {
		switch failed.ExitCode {
		case blkidNothing:
			return Content{Kind: Empty, Detail: "no known content"}, nil
		case blkidAmbiguous:
			return Content{Kind: Filesystem, Detail: "several signatures that contradict one another"}, nil
		}
		if errors.Is(err, exec.ErrNotFound) {
			return Content{}, fmt.Errorf("probe %s: blkid is not installed, so what the device holds is unknown: %w", device, err)
		}
	}
	if err != nil {
		return Content{}, fmt.Errorf("probe %s: %w", device, err)
	}
	found := map[string]string{}
	for line := range strings.Lines(out.String()) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		found[key] = value
	}
	switch {
	case found["TYPE"] == "zfs_member":
		return Content{Kind: Label, Detail: "a ZFS device, by its uberblocks", PoolName: found["LABEL"], PoolGUID: found["UUID"]}, nil
	case found["TYPE"] != "":
		return Content{Kind: Filesystem, Detail: found["TYPE"]}, nil
	case found["PTTYPE"] != "":
		return Content{Kind: PartitionTable, Detail: found["PTTYPE"]}, nil
	}
	return Content{Kind: Filesystem, Detail: "a signature that blkid does not name: " + firstLines(out.String(), 3)}, nil
}

var (
	firstPartition   = regexp.MustCompile(`^(.*?)(-part1|p1|1)$`)
	endsInDigit      = regexp.MustCompile(`[0-9]$`)
	diskNamedByDigit = regexp.MustCompile(`^(nvme|mmcblk|loop|nbd|md|zd)`)
)

// SameDevice reports whether two paths mean one vdev: the same file behind links, or a disk and the first
// partition that OpenZFS makes when it is given a whole one.
func SameDevice(a, b string) bool {
	a, b = resolved(a), resolved(b)
	return a == b || wholeDisk(a) == b || wholeDisk(b) == a
}

// resolved follows links; what does not exist is compared by its name.
func resolved(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	return filepath.Clean(path)
}

// wholeDisk is the disk whose first partition path names, or "": sda1, nvme0n1p1, by-id names with -part1.
func wholeDisk(path string) string {
	if !strings.HasPrefix(path, "/dev/") {
		return ""
	}
	m := firstPartition.FindStringSubmatch(path)
	if m == nil {
		return ""
	}
	numbered := diskNamedByDigit.MatchString(filepath.Base(m[1]))
	switch m[2] {
	case "-part1":
		return m[1]
	case "p1":
		if endsInDigit.MatchString(m[1]) && numbered {
			return m[1]
		}
		return m[1] + "p" // sdp1
	}
	if numbered || endsInDigit.MatchString(m[1]) || filepath.Dir(m[1]) != "/dev" {
		return "" // sda11, nvme0n1: no first partition
	}
	return m[1]
}
