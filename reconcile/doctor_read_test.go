package reconcile

import (
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// tree is a root file system of files by path.
func tree(files ...string) fstest.MapFS {
	fs := fstest.MapFS{}
	for i := 0; i+1 < len(files); i += 2 {
		fs[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fs
}

func TestReadMemory(t *testing.T) {
	got := readMemory(tree(
		"proc/meminfo", "MemTotal:       24682716 kB\nMemFree: 1 kB\nHugePages_Total:       3\nHugepagesize:       2048 kB\n",
		"proc/spl/kstat/zfs/arcstats", "13 1 0x01 123 33456 1 2\nname type data\nc_max                           4    12637550592\n"))
	if want := (memoryFacts{Total: 24682716 << 10, HugePage: 2 << 20, HugeAll: 6 << 20, ARCMax: 12637550592}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := readMemory(tree()); got != (memoryFacts{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestBufferBytes(t *testing.T) {
	for value, want := range map[string]int64{"32GB": 32 << 30, "16384": 128 << 20, "128 MB": 128 << 20, "1.5GB": 3 << 29, "64kB": 64 << 10} {
		if got, ok := bufferBytes(value); !ok || got != want {
			t.Errorf("%s: %d, %v", value, got, ok)
		}
	}
	for _, value := range []string{"", "GB", "12PB", "much"} {
		if got, ok := bufferBytes(value); ok {
			t.Errorf("%q: %d", value, got)
		}
	}
}

func TestReadBoot(t *testing.T) {
	got := readBoot(tree(
		"etc/systemd/system/zfs-import.target.wants/zfs-import-cache.service", "",
		"usr/lib/systemd/system/multi-user.target.wants/getty.target", "",
		"etc/zfs/zpool.cache", "\x01zp1", "etc/zfs/zfs-list.cache/zp1", "", "sys/module/zfs/version", "2.1.11-1\n"))
	want := bootFacts{Enabled: []string{"getty.target", "zfs-import-cache.service"}, Cache: []byte("\x01zp1"), Module: "2.1.11-1", Listed: []string{"zp1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The servers that other packages start, as they configure them.
func TestReadRivals(t *testing.T) {
	got := readRivals(tree(
		"etc/postgresql/15/main/postgresql.conf", "data_directory = '/data/pg/'\nport = 1922\n",
		"etc/postgresql/15/main/start.conf", "# comment\nauto\n",
		"etc/postgresql/12/old/postgresql.conf", "",
		"etc/postgresql/12/old/start.conf", "manual\n",
		"usr/lib/systemd/system/postgresql-15.service", "[Service]\nEnvironment=PGDATA=/var/lib/pgsql/15/data/\nExecStart=/usr/pgsql-15/bin/postmaster -D ${PGDATA}\n",
		"etc/systemd/system/multi-user.target.wants/postgresql-15.service", "",
		"etc/systemd/system/postgresql-15.service.d/override.conf", "[Service]\n# Environment=PGDATA=/no\nEnvironment=\"PGDATA=/data/pg\"\n",
		"etc/systemd/system/own.service", "[Service]\nExecStart=/usr/pgsql-15/bin/postgres -D /data/own\n",
		"etc/systemd/system/zreconcile-s1.service", "[Service]\nExecStart=/usr/pgsql-15/bin/postgres -D /data/pg\n",
		"etc/patroni/node.yml", "postgresql:\n  data_dir: \"/data/pg\"\n",
	))
	var brief []string
	for _, r := range got {
		line := r.Name + " " + r.DataDir
		if r.AtBoot {
			line += " at boot"
		}
		brief = append(brief, line)
	}
	slices.Sort(brief)
	want := []string{
		"Debian's cluster 12/old /var/lib/postgresql/12/old",
		"Debian's cluster 15/main /data/pg at boot",
		"Patroni (/etc/patroni/node.yml) /data/pg at boot",
		"unit own.service /data/own",
		"unit postgresql-15.service /data/pg at boot",
		"unit postgresql-15.service /var/lib/pgsql/15/data at boot",
	}
	if diff := cmp.Diff(want, brief); diff != "" {
		t.Error(diff)
	}
	if i := slices.IndexFunc(got, func(r rival) bool { return r.Port == 1922 }); i < 0 {
		t.Errorf("the port of Debian's cluster was not read: %+v", got)
	}
}

func TestReadUnits(t *testing.T) {
	const out = "Id=zreconcile@s1.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\nResult=success\n\n" +
		"Result=exit-code\nId=zreconcile-s1.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=enabled\n"
	got := readUnits(out, []unitFacts{{Name: "zreconcile@s1.service"}, {Name: "zreconcile-s1.service", Server: "the standby"}})
	want := []unitFacts{
		{Name: "zreconcile@s1.service", Load: "not-found", Active: "inactive", Result: "success"},
		{Name: "zreconcile-s1.service", Server: "the standby", Load: "loaded", Active: "failed", UnitState: "enabled", Result: "exit-code"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnstableNames(t *testing.T) {
	stable := []string{"/dev/disk/by-id/virtio-data", "/dev/disk/by-partuuid/1-2", "/dev/mapper/vg-lv", "/var/lib/pool.img"}
	changing := []string{"/dev/sda", "/dev/vdb1", "/dev/nvme0n1p2", "/dev/xvdf", "/dev/dm-3", "/dev/loop0"}
	if got := unstable(slices.Concat(stable, changing)); !slices.Equal(got, changing) {
		t.Errorf("%q", got)
	}
}

// Where the control file of the extension stands beside others, its absence tells.
func TestFindAmcheck(t *testing.T) {
	p := &patient{server: programFacts{Wanted: 15, Dir: "/usr/lib/postgresql/15/bin"}}
	const share = "usr/share/postgresql/15/extension/"
	for want, files := range map[answer][]string{
		yes:      {share + "plpgsql.control", "", share + "amcheck.control", ""},
		no:       {share + "plpgsql.control", ""},
		notKnown: nil,
	} {
		if got := p.findAmcheck(tree(files...)); got != want {
			t.Errorf("%v: %v, want %v", files, got, want)
		}
	}
}

func TestWatchUnit(t *testing.T) {
	for file, want := range map[string]string{
		"/etc/zreconcile/site.yaml":      "zreconcile.service",
		"/etc/zreconcile/prod/site.yaml": "zreconcile@prod.service", // the folder's name, whatever the site's is
		"/srv/site.yaml":                 "zreconcile@rds-prod.service",
		"site.yaml":                      "zreconcile@rds-prod.service",
	} {
		if got := watchUnit(file, "rds-prod"); got != want {
			t.Errorf("%s is watched by %s, want %s", file, got, want)
		}
	}
}
