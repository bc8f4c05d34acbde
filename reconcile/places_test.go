package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/zfs"
)

func TestPlaceOf(t *testing.T) {
	dataset := func(name, mountpoint, canmount string, mounted bool) zfs.Dataset {
		return zfs.Dataset{Name: name, Type: "filesystem", Mountpoint: mountpoint, Mounted: mounted, Properties: local("canmount", canmount)}
	}
	tests := map[string]struct {
		edits []string
		have  []zfs.Dataset
		file  string
		want  place
	}{
		"as the file says, before anything is there":             {file: "/data/pg", want: place{"zp1/data", "/data"}},
		"the mountpoint itself":                                  {file: "/data", want: place{"zp1/data", "/data"}},
		"a name that only begins the same":                       {file: "/database/pg"},
		"the file's mountpoint, not the present one":             {file: "/data/pg", have: []zfs.Dataset{dataset("zp1/data", "/old", "on", true)}, want: place{"zp1/data", "/data"}},
		"a dataset that the file does not name":                  {file: "/x/pg", have: []zfs.Dataset{dataset("zp1/x", "/x", "on", true)}, want: place{"zp1/x", "/x"}},
		"the deepest":                                            {file: "/data/pg/base", have: []zfs.Dataset{dataset("zp1/deep", "/data/pg", "on", true)}, want: place{"zp1/deep", "/data/pg"}},
		"a locked or unmounted one is where its files should be": {file: "/data/pg/base", have: []zfs.Dataset{dataset("zp1/deep", "/data/pg", "on", false)}, want: place{"zp1/deep", "/data/pg"}},
		"a replica that nobody mounts is no place":               {file: "/data/pg/base", have: []zfs.Dataset{dataset("zp1/deep", "/data/pg", "noauto", false)}, want: place{"zp1/data", "/data"}},
		"one with noauto that somebody mounted is":               {file: "/data/pg/base", have: []zfs.Dataset{dataset("zp1/deep", "/data/pg", "noauto", true)}, want: place{"zp1/deep", "/data/pg"}},
		"canmount=off is never mounted":                          {file: "/data/pg/base", have: []zfs.Dataset{dataset("zp1/deep", "/data/pg", "off", false)}, want: place{"zp1/data", "/data"}},
		"canmount=off in the file":                               {edits: []string{"{mountpoint: /arch, compression: on}", "{mountpoint: /arch, canmount: off}"}, file: "/arch/wal", have: []zfs.Dataset{dataset("zp1/wal", "/arch", "on", true)}},
		"mountpoint none":                                        {file: "/x", have: []zfs.Dataset{dataset("zp1/x", "none", "on", false)}},
		"mountpoint legacy":                                      {edits: []string{"{mountpoint: /arch, compression: on}", "{mountpoint: legacy}"}, file: "/arch/wal"},
		"a volume is no place":                                   {file: "/x", have: []zfs.Dataset{{Name: "zp1/x", Type: "volume", Mountpoint: "/x"}}},
		"of equal mountpoints the one that the file names":       {file: "/data/pg", have: []zfs.Dataset{dataset("zp1/a", "/data", "on", true)}, want: place{"zp1/data", "/data"}},
		"of others the one that is mounted":                      {file: "/x", have: []zfs.Dataset{dataset("zp1/a", "/x", "on", false), dataset("zp1/b", "/x", "on", true)}, want: place{"zp1/b", "/x"}},
		"of equals the first by name":                            {file: "/x", have: []zfs.Dataset{dataset("zp1/a", "/x", "on", false), dataset("zp1/b", "/x", "on", false)}, want: place{"zp1/a", "/x"}},
		"a slash too many is none":                               {file: "/x/pg", have: []zfs.Dataset{dataset("zp1/x", "/x/", "on", true)}, want: place{"zp1/x", "/x"}},
		"one at the root holds everything else":                  {file: "/srv", have: []zfs.Dataset{dataset("zp1/root", "/", "on", true)}, want: place{"zp1/root", "/"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := placeOf(givenSite(t, test.edits...), &State{ZFS: zfs.Inventory{Datasets: test.have}}, test.file)
			if got != test.want || ok != (test.want != place{}) {
				t.Errorf("placeOf(%s) = %+v, %v; want %+v", test.file, got, ok, test.want)
			}
		})
	}
}

func TestRel(t *testing.T) {
	for _, test := range [][3]string{{"/data", "/data/pg", "pg"}, {"/data", "/data", ""}, {"/", "/srv/pg", "srv/pg"}} {
		if got := (place{Mountpoint: test[0]}).rel(test[1]); got != test[2] {
			t.Errorf("%s seen from %s is %q, want %q", test[1], test[0], got, test[2])
		}
	}
}

func TestClusterDatasets(t *testing.T) {
	site := givenSite(t, "  port: 1922", "  port: 1922\n  walDir: /walds/pg_wal\n  tablespaces: {/b: /data/ts, /a: /ts/a}",
		"  - name: wal", "  - name: walds\n    properties: {mountpoint: /walds}\n  - name: ts\n    properties: {mountpoint: /ts}\n  - name: wal")
	want := []place{{"zp1/data", "/data"}, {"zp1/walds", "/walds"}, {"zp1/ts", "/ts"}}
	if diff := cmp.Diff(want, clusterDatasets(site, &State{})); diff != "" {
		t.Errorf("the data directory's first, each once (-want +got):\n%s", diff)
	}
}
