package wal

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/version/servers"
)

// TestReaderOfEachMajor reads what a real server of each major version writes.
// From 15 on the server itself tells of each record (extension pg_walinspect);
// before, its records are held against what is known of the sample.
func TestReaderOfEachMajor(t *testing.T) {
	servers.Each(t, func(t *testing.T, major int, binDir string) {
		begin := time.Now().Add(-time.Second)
		c, err := newClusterOf(binDir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.remove) // seven servers and their WAL are much to keep until all tests are over
		_, inspected := c.psql("create extension pg_walinspect; alter system set wal_keep_size = '1GB'; select pg_reload_conf()")
		if inspected != nil && major >= 15 {
			t.Error(inspected)
		}
		if err := c.fill(); err != nil {
			t.Fatal(err)
		}
		flushed := c.lsn(t, "select pg_current_wal_flush_lsn()")
		all, err := readAll(c.reader(t, c.both()))
		if len(all) < 5000 || all[len(all)-1].End+pageSize < flushed {
			t.Fatalf("%d records are read of the WAL up to %s, then: %v", len(all), flushed, err)
		}
		c.knowsTheSample(t, all, begin)
		header, err := ReadHeaderOf(c.archive + "/" + c.first(t).Name(c.size))
		if err != nil || header.Version() != major {
			t.Errorf("the archive is of version %d: %v", header.Version(), err)
		}
		if inspected == nil {
			c.agreesWithItsServer(t, all)
		}
	})
}

// knowsTheSample looks for what fill does.
func (c *cluster) knowsTheSample(t *testing.T, all []Record, begin time.Time) {
	t.Helper()
	kinds, names := map[RecordKind]int{}, []string{}
	var prepared, ended []uint32
	for _, r := range all {
		kinds[r.Kind]++
		if r.Rmgr == rmgrXact && r.Info&0x70 == 0x10 { // XLOG_XACT_PREPARE
			prepared = append(prepared, r.XID)
		}
		switch r.Kind {
		case CommitPrepared, AbortPrepared:
			ended = append(ended, r.TwoPhaseXID)
		case RestorePoint:
			names = append(names, r.Name)
		case ParameterChange:
			if s := r.Settings; s.MaxConnections != 100 || s.MaxPreparedXacts != 5 || s.MaxWALSenders != 10 || s.MaxLocksPerXact != 64 || s.MaxWorkerProcesses != 8 || s.Minimal {
				t.Errorf("the settings are %+v", s)
			}
		case RunningXacts:
			if r.Running.Next < r.Running.Oldest || r.Running.Oldest < 3 {
				t.Errorf("the running transactions are %+v", r.Running)
			}
		}
		if r.IsXact() && (r.Time.After(time.Now()) || r.Kind == CommitPrepared && r.Time.Before(begin)) {
			t.Errorf("%s is of %s", describe(r), r.Time)
		}
	}
	for _, k := range []RecordKind{Commit, Abort, CommitPrepared, AbortPrepared, CheckpointOnline, CheckpointShutdown, ParameterChange, RunningXacts, Switch} {
		if kinds[k] == 0 {
			t.Errorf("there is no %s record", k)
		}
	}
	if got := strings.Join(names, " "); got != "before-migration end" {
		t.Errorf("the restore points are %s", got)
	}
	slices.Sort(prepared)
	slices.Sort(ended)
	if len(prepared) != 3 || !slices.Equal(prepared, ended) {
		t.Errorf("prepared are %v, and ended %v", prepared, ended)
	}
}

var fraction = regexp.MustCompile(`(\d\d:\d\d:\d\d)(\.\d+)?\+00\b`)

// sixDigits writes times as pg_waldump does: the server leaves out zeros at the end.
func sixDigits(line string) string {
	return fraction.ReplaceAllStringFunc(line, func(at string) string {
		clock, digits, _ := strings.Cut(strings.TrimSuffix(at, "+00"), ".")
		return clock + "." + (digits + "000000")[:6]
	})
}

// agreesWithItsServer compares each record with what pg_walinspect says, in the
// form of pg_waldump's lines.
func (c *cluster) agreesWithItsServer(t *testing.T, all []Record) {
	t.Helper()
	last := all[len(all)-1]
	out, err := c.psql(fmt.Sprintf(`set timezone = 'UTC'; select format('rmgr: %%s len (rec/tot): 1/ 1, tx: %%s, lsn: %%s, prev %%s, desc: %%s %%s',
 resource_manager, xid, start_lsn, prev_lsn, record_type, description)
from pg_get_wal_records_info('%s', '%s') order by start_lsn`, all[0].Start, last.End))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(all) {
		t.Errorf("%d records are read, and pg_walinspect tells of %d", len(all), len(lines))
	}
	for i := range min(len(lines), len(all)) {
		if want := dumped(t, sixDigits(lines[i])); describe(all[i]) != want {
			t.Fatalf("record %d:\n%s\nbut its server says\n%s", i, describe(all[i]), want)
		}
	}
}
