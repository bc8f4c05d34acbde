package zfs

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The usage texts of OpenZFS 2.2 (get_usage of cmd/zfs/zfs_main.c and cmd/zpool/zpool_main.c), short of the
// subcommands that nobody here asks about.
const (
	openZFSUsage = `missing command
usage: zfs command args ...
where 'command' is one of the following:

	version

	create [-Pnpuv] [-o property=value] ... <filesystem>
	create [-Pnpsv] [-b blocksize] [-o property=value] ... -V <size> <volume>
	destroy [-fnpRrv] <filesystem|volume>
	destroy [-dnpRrv] <filesystem|volume>@<snap>[%<snap>][,...]
	destroy <filesystem|volume>#<bookmark>

	snapshot [-r] [-o property=value] ... <filesystem|volume>@<snap> ...
	rollback [-rRf] <snapshot>
	clone [-p] [-o property=value] ... <snapshot> <filesystem|volume>
	list [-Hp] [-r|-d max] [-o property[,...]] [-s property]...
	    [-S property]... [-t type[,...]] [filesystem|volume|snapshot] ...

	set [-u] <property=value> ... <filesystem|volume|snapshot> ...
	get [-rHp] [-d max] [-o "all" | field[,...]]
	    [-t type[,...]] [-s source[,...]]
	    <"all" | property[,...]> [filesystem|volume|snapshot|bookmark] ...
	inherit [-rS] <property> <filesystem|volume|snapshot> ...

	load-key [-rn] [-L <keylocation>] <-a | filesystem|volume>
	unload-key [-r] <-a | filesystem|volume>

Each dataset is of the form: pool/[dataset/]*dataset[@name]
`
	openZPoolUsage = `missing command
usage: zpool command args ...
where 'command' is one of the following:

	list [-gHLpPv] [-o property[,...]] [-T d|u] [pool] ... 
	    [interval [count]]
	get [-Hp] [-o "all" | field[,...]] <"all" | property[,...]> <pool> ...
	set <property=value> <pool>
`
	openZPoolGet = "zp1\tsize\t1992864825344\t-\nzp1\thealth\tONLINE\t-\nzp1\tguid\t9876543210987654321\t-\n" +
		"zp1\taltroot\t/mnt\tlocal\nzp1\tashift\t13\tlocal\nzp1\tallocated\t1073741824\t-\nzp1\tfree\t1991791083520\t-\n" +
		"zp1\tcomment\ttwo words\tlocal\nzp1\tfeature@lz4_compress\tactive\tlocal\n"
	openZPoolStatus = `  pool: zp1
 state: ONLINE
config:

	NAME                                     STATE     READ WRITE CKSUM
	zp1                                      ONLINE       0     0     0
	  /dev/disk/by-id/virtio-data-part1      ONLINE       0     0     0

errors: No known data errors
`
)

// openZFS plays the tools. Commands that it does not know fail the test.
type openZFS struct {
	t         *testing.T
	answers   map[string]string // by command line
	snapshots map[string]string // guid by full name
	obstacles map[string]string // what OpenZFS says after "cannot destroy snapshot NAME: "
	commands  []string
}

type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }
func (e exitStatus) ExitCode() int { return int(e) }

func (o *openZFS) run(cmd *exec.Cmd) error {
	line := strings.Join(cmd.Args, " ")
	o.commands = append(o.commands, line)
	say := func(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	switch {
	case line == "zfs":
		say(cmd.Stderr, "%s", openZFSUsage)
		return exitStatus(2)
	case line == "zpool":
		say(cmd.Stderr, "%s", openZPoolUsage)
		return exitStatus(2)
	case strings.HasPrefix(line, "zfs get -Hp -o name,value guid "):
		status := error(nil)
		for _, name := range cmd.Args[6:] {
			if guid := o.snapshots[name]; guid != "" {
				say(cmd.Stdout, "%s\t%s\n", name, guid)
			} else {
				say(cmd.Stderr, "cannot open '%s': dataset does not exist\n", name)
				status = exitStatus(1)
			}
		}
		return status
	case strings.HasPrefix(line, "zfs destroy ") && strings.Contains(line, "@"):
		return o.destroy(cmd.Args[2], func(text string) { say(cmd.Stderr, "%s", text) })
	}
	answer, ok := o.answers[line]
	if !ok {
		o.t.Errorf("unexpected command: %s", line)
		return exitStatus(2)
	}
	say(cmd.Stdout, "%s", answer)
	return nil
}

// destroy takes all members of a comma list or none, as lzc_destroy_snaps does.
func (o *openZFS) destroy(list string, say func(string)) error {
	dataset, names, _ := strings.Cut(list, "@")
	if len(list) >= 128<<10 || strings.ContainsAny(list, "%") {
		o.t.Errorf("an argument of %d bytes: %.80s", len(list), list)
	}
	status := error(nil)
	for name := range strings.SplitSeq(names, ",") {
		full := dataset + "@" + name
		if why := o.obstacles[full]; why != "" {
			say("cannot destroy snapshot " + full + ": " + why + "\n")
			status = exitStatus(1)
		}
	}
	if status != nil {
		return status
	}
	for name := range strings.SplitSeq(names, ",") {
		delete(o.snapshots, dataset+"@"+name)
	}
	return nil
}

func TestOpenZFSInventory(t *testing.T) { // pitfalls 44 and 46
	o := &openZFS{t: t, answers: map[string]string{
		"zpool get -Hp all zp1": openZPoolGet,
		"zpool status zp1":      openZPoolStatus,
		"zfs get -Hp -r -o name,property,value,source -t filesystem,volume type,guid,origin,mountpoint,mounted,used,available,referenced,encryptionroot,keystatus,keylocation,recordsize zp1": "" +
			"zp1\ttype\tfilesystem\t-\nzp1\tguid\t1\t-\nzp1\torigin\t-\t-\nzp1\tmountpoint\t/mnt/zp1\tdefault\nzp1\tmounted\tno\t-\n" +
			"zp1\tused\t4096\t-\nzp1\tavailable\t8192\t-\nzp1\treferenced\t96\t-\n" +
			"zp1\tencryptionroot\t-\t-\nzp1\tkeystatus\t-\t-\nzp1\tkeylocation\tnone\tdefault\nzp1\trecordsize\t131072\tdefault\n" +
			"zp1/v\ttype\tvolume\t-\nzp1/v\tguid\t2\t-\nzp1/v\torigin\tzp1@s2\t-\nzp1/v\tmountpoint\t-\t-\nzp1/v\tmounted\t-\t-\n" +
			"zp1/v\tused\t1\t-\nzp1/v\tavailable\t2\t-\nzp1/v\treferenced\t3\t-\n" +
			"zp1/v\tencryptionroot\tzp1/v\t-\nzp1/v\tkeystatus\tunavailable\t-\nzp1/v\tkeylocation\tfile:///k\tlocal\nzp1/v\trecordsize\t-\t-\n",
		"zfs get -Hp -r -o name,property,value,source -t snapshot type,guid,createtxg,creation,userrefs,used,zreconcile:site zp1": "" +
			"zp1@s2\ttype\tsnapshot\t-\nzp1@s2\tguid\t18446744073709551615\t-\nzp1@s2\tcreatetxg\t20\t-\nzp1@s2\tcreation\t1584782221\t-\n" +
			"zp1@s2\tuserrefs\t2\t-\nzp1@s2\tused\t0\t-\nzp1@s2\tzreconcile:site\trds-prod\tlocal\n" +
			"zp1@s1\ttype\tsnapshot\t-\nzp1@s1\tguid\t11\t-\nzp1@s1\tcreatetxg\t10\t-\nzp1@s1\tcreation\t1584782220\t-\n" +
			"zp1@s1\tuserrefs\t0\t-\nzp1@s1\tused\t0\t-\nzp1@s1\tzreconcile:site\t-\t-\n",
	}}
	c := New(o.run)
	inv := inventory(t, c, "zp1", Query{DatasetProperties: []string{"recordsize"}, SnapshotProperties: []string{"zreconcile:site"}})
	if len(o.commands) != 5 {
		t.Errorf("%d processes: %q", len(o.commands), o.commands)
	}
	if a, err := c.Abilities(t.Context()); err != nil || a != (Abilities{ListParsable: true, GetTypes: true, SetMany: true, SnapshotMany: true, DestroyList: true, DestroyDryRun: true, PoolGetParsable: true, LoadKey: true}) {
		t.Errorf("abilities %+v, %v", a, err)
	}
	if len(o.commands) != 5 {
		t.Errorf("abilities were asked for again: %q", o.commands[5:])
	}
	p := inv.Pool
	if p.Size != 1992864825344 || p.Free != 1991791083520 || p.AltRoot != "/mnt" || p.Properties["comment"] != (Value{"two words", "local", ""}) {
		t.Errorf("pool %+v", p)
	}
	if got := inv.WithAltRoot("/zpdata01"); got != "/mnt/zpdata01" { // pitfall 48
		t.Errorf("mountpoint %s", got)
	}
	if !SameDevice(p.Vdevs[0].Devices[0].Path, "/dev/disk/by-id/virtio-data") {
		t.Errorf("vdevs %+v", p.Vdevs)
	}
	if names := []string{inv.Snapshots[0].Name, inv.Snapshots[1].Name}; !slices.Equal(names, []string{"s1", "s2"}) {
		t.Errorf("order %v", names)
	}
	s := inv.Snapshots[1]
	if s.GUID != "18446744073709551615" || s.Clones != 1 || s.UserRefs != 2 || s.Creation.Unix() != 1584782221 {
		t.Errorf("snapshot %+v", s)
	}
	if v, ok := inv.Dataset("zp1/v"); !ok || v.Key != (Key{Root: "zp1/v", Location: "file:///k"}) || v.Type != "volume" || v.Mountpoint != "" || len(inv.Children("zp1")) != 1 {
		t.Errorf("volume %+v", v)
	}
}

func TestOpenZFSCommandLines(t *testing.T) {
	o := &openZFS{t: t, answers: map[string]string{
		"zfs set recordsize=8K zr:x=a b zp1/d":                                       "",
		"zfs snapshot -o zr:site=x zp1/data@zr-1 zp1/wal@zr-1":                       "",
		"zfs create -p -o atime=off zp1/a/b":                                         "",
		"zfs clone -o mountpoint=/r zp1/a@s zp1/c":                                   "",
		"zfs holds -H zp1/a@s":                                                       "zp1/a@s\tkeep\tMon Nov 23 10:00 2026\nzp1/a@s\tzr:2\tMon Nov 23 10:01 2026\n",
		"zpool create -f -o ashift=13 -O canmount=off zp1 mirror /d/a /d/b log /d/c": "",
		"zpool set autotrim=on zp1":                                                  "",
		"zfs load-key zp1/e":                                                         "",
	}}
	c := New(o.run)
	ctx := t.Context()
	must(t, c.SetProperties(ctx, "zp1/d", []Prop{{"recordsize", "8K"}, {"zr:x", "a b"}}))
	must(t, c.Snapshot(ctx, []string{"zp1/data", "zp1/wal"}, "zr-1", []Prop{{"zr:site", "x"}}))
	must(t, c.CreateDataset(ctx, "zp1/a/b", []Prop{{"atime", "off"}}, true))
	must(t, c.Clone(ctx, "zp1/a@s", "zp1/c", []Prop{{"mountpoint", "/r"}}))
	tags, err := c.Holds(ctx, "zp1/a@s")
	if err != nil || !slices.Equal(tags, []string{"keep", "zr:2"}) {
		t.Errorf("holds %v, %v", tags, err)
	}
	must(t, c.CreatePool(ctx, PoolSpec{Name: "zp1", Force: true, Properties: []Prop{{"ashift", "13"}}, RootProperties: []Prop{{"canmount", "off"}},
		Vdevs: []VdevSpec{{Class: "log", Devices: []string{"/d/c"}}, {Type: "mirror", Devices: []string{"/d/a", "/d/b"}}}}))
	must(t, c.SetPoolProperties(ctx, "zp1", []Prop{{"autotrim", "on"}}))
	must(t, c.LoadKey(ctx, "zp1/e"))
}

// Where zfs knows no keys, none of their properties is asked for: a refusal would cost a process.
func TestInventoryWithoutEncryption(t *testing.T) {
	usage := strings.ReplaceAll(openZFSUsage, "\tload-key", "\tother-key")
	o := &openZFS{t: t, answers: map[string]string{
		"zpool get -Hp all zp1": openZPoolGet,
		"zpool status zp1":      openZPoolStatus,
		"zfs get -Hp -r -o name,property,value,source -t filesystem,volume type,guid,origin,mountpoint,mounted,used,available,referenced zp1": "",
		"zfs get -Hp -r -o name,property,value,source -t snapshot type,guid,createtxg,creation,userrefs,used zp1":                             "",
	}}
	c := New(func(cmd *exec.Cmd) error {
		if len(cmd.Args) == 1 {
			_, _ = io.WriteString(cmd.Stderr, usage)
			return exitStatus(2)
		}
		return o.run(cmd)
	})
	inventory(t, c, "zp1", Query{})
	if can, err := c.Abilities(t.Context()); err != nil || can.LoadKey {
		t.Errorf("%+v, %v", can, err)
	}
}

// zfs load-key -a would load the keys of everybody's datasets.
func TestLoadKeyTakesNoFlag(t *testing.T) {
	o := &openZFS{t: t}
	for _, root := range []string{"-a", "", "zp1/e -r"} {
		if err := New(o.run).LoadKey(t.Context(), root); !errors.Is(err, ErrInvalidName) {
			t.Errorf("%q: %v", root, err)
		}
	}
}

// zfs goes on after each snapshot that it refuses: what is harmless of one must not hide what is not of another.
func TestARefusalAmongHarmlessOnes(t *testing.T) {
	const held, noTag, gone, broken = "cannot hold 'zp1@a': tag already exists on this dataset\n", "cannot release hold from snapshot 'zp1@a': no such tag on this dataset\n",
		"cannot open 'zp1@b': dataset does not exist\n", "cannot hold 'zp1@b': I/O error\n"
	snaps := []string{"zp1@a", "zp1@b", "zp1@c"}
	for _, test := range []struct {
		stderr        string
		hold, release Kind
		released      int
	}{
		{held, ErrExists, ErrExists, 0},
		{held + gone, ErrNotFound, ErrExists, 0},
		{gone + held, ErrNotFound, ErrExists, 0},
		{held + broken, ErrOther, ErrExists, 0},
		{noTag, ErrNotFound, ErrNotFound, 2},
		{noTag + gone, ErrNotFound, ErrNotFound, 1},
		{noTag + broken, ErrNotFound, ErrOther, 0},
		{broken + noTag, ErrNotFound, ErrOther, 0},
	} {
		c := New(func(cmd *exec.Cmd) error {
			_, _ = io.WriteString(cmd.Stderr, test.stderr)
			return exitStatus(1)
		})
		if err := c.Hold(t.Context(), "x", snaps...); !errors.Is(err, test.hold) {
			t.Errorf("%q: hold: %v, want %v", test.stderr, err, test.hold)
		}
		if err := c.Release(t.Context(), "x", snaps...); !errors.Is(err, test.release) {
			t.Errorf("%q: release: %v, want %v", test.stderr, err, test.release)
		}
		n, err := c.ReleaseAny(t.Context(), "x", snaps...)
		if harmless := test.release == ErrNotFound; n != test.released || (err == nil) != harmless {
			t.Errorf("%q: %d released, %v", test.stderr, n, err)
		}
	}
}

// pitfall 45: comma lists below the limit of one argument; held, cloned and gone members do not keep the others.
func TestPitfall45_OpenZFSDestroysInBatches(t *testing.T) {
	const many = 10000
	o := &openZFS{t: t, snapshots: map[string]string{}, obstacles: map[string]string{
		"zp1/d@zr-00007":  "it's being held. Run 'zfs holds -r zp1/d@zr-00007' to see holders.",
		"zp1/d@zr-09000":  "snapshot is cloned",
		"zp1/d@zr-000070": "", // a longer name must not be taken for the held one
	}}
	var snaps []Snapshot
	add := func(name, guid string) {
		snaps = append(snaps, Snapshot{Dataset: "zp1/d", Name: name, GUID: guid})
		o.snapshots["zp1/d@"+name] = guid
	}
	for i := range many {
		add(fmt.Sprintf("zr-%05d", i), fmt.Sprint(i+1))
	}
	add("zr-000070", "70")
	delete(o.snapshots, "zp1/d@zr-00100")
	o.snapshots["zp1/d@zr-00200"] = "another"
	left := New(o.run).DestroySnapshots(t.Context(), snaps)
	want := map[string]Kind{"zp1/d@zr-00007": ErrHeld, "zp1/d@zr-09000": ErrHasClones, "zp1/d@zr-00100": ErrNotFound, "zp1/d@zr-00200": ErrReplaced}
	got := map[string]Kind{}
	for name, err := range left {
		var failed *Error
		if !errors.As(err, &failed) {
			t.Fatal(err)
		}
		got[name] = failed.Kind
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(o.snapshots) != 3 { // held, cloned, replaced
		t.Errorf("%d snapshots are still there", len(o.snapshots))
	}
	if len(o.commands) > 10 {
		t.Errorf("%d processes for %d snapshots", len(o.commands), many)
	}
}

func TestABatchThatFailsAsAWholeIsBlamedOnce(t *testing.T) {
	calls := 0
	c := New(func(cmd *exec.Cmd) error {
		switch {
		case len(cmd.Args) == 1:
			_, _ = io.WriteString(cmd.Stderr, openZFSUsage)
			return exitStatus(2)
		case cmd.Args[1] == "get":
			_, _ = io.WriteString(cmd.Stdout, "p@a\t1\np@b\t2\n")
			return nil
		}
		calls++
		_, _ = io.WriteString(cmd.Stderr, "cannot destroy snapshots: permission denied\n")
		return exitStatus(1)
	})
	left := c.DestroySnapshots(t.Context(), []Snapshot{{Dataset: "p", Name: "a", GUID: "1"}, {Dataset: "p", Name: "b", GUID: "2"}})
	if len(left) != 2 || !errors.Is(left["p@b"], ErrPermission) || calls != 1 {
		t.Errorf("%v after %d calls", left, calls)
	}
}
