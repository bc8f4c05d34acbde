package reconcile

import (
	"sort"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres/wal"
	"github.com/zreconcile/zreconcile/spec"
	"github.com/zreconcile/zreconcile/zfs"
)

// Snapshot is one moment of the cluster: the snapshots of the same name on all
// of its datasets, taken in one atomic command.
type Snapshot struct {
	Name       string
	Data       zfs.Snapshot   // of the dataset with the data directory, which carries the marks
	Members    []zfs.Snapshot // of all datasets, Data first
	SystemID   string
	Timeline   wal.Timeline
	TakenAt    time.Time
	Redo       wal.LSN // recovery starts here or later
	Replayed   wal.LSN // replayed when it was taken, or a little less
	WALFrom    wal.LSN // its pg_wal goes back to here, or a little further; 0 is not known
	ReplayedAt time.Time
	Consistent wal.LSN   // consistent from here on, or a little earlier; 0 is not known yet
	EarliestAt time.Time // newest commit or abort below Consistent; zero is not known
	Label      string
}

// ours collects this site's snapshots of the cluster, oldest first. A snapshot
// of somebody else below our datasets is none of them, whatever it inherited.
func ours(site *spec.Site, state *State) []Snapshot {
	if site.Standby == nil {
		return nil
	}
	places := clusterDatasets(site, state)
	if len(places) == 0 {
		return nil
	}
	members := map[string][]zfs.Snapshot{}
	var list []Snapshot
	for _, s := range state.ZFS.Snapshots {
		for i, p := range places {
			if s.Dataset != p.Dataset || !localMarks(s.Properties).ours(site.Name) {
				continue
			}
			if i > 0 {
				members[s.Name] = append(members[s.Name], s)
				continue
			}
			list = append(list, newSnapshot(s))
		}
	}
	for i := range list {
		list[i].Members = append([]zfs.Snapshot{list[i].Data}, members[list[i].Name]...)
	}
	sort.SliceStable(list, func(i, j int) bool {
		if a, b := list[i].Data.CreateTXG, list[j].Data.CreateTXG; a != b {
			return a < b
		}
		return list[i].Name < list[j].Name
	})
	return list
}

func newSnapshot(s zfs.Snapshot) Snapshot {
	m := localMarks(s.Properties)
	taken := m.time(markTakenAt)
	if taken.IsZero() {
		taken = s.Creation
	}
	return Snapshot{Name: s.Name, Data: s, SystemID: m[markSystemID], Timeline: wal.Timeline(m.int(markTimeline)),
		TakenAt: taken, Redo: m.lsn(markRedo), Replayed: m.lsn(markReplayed), WALFrom: m.lsn(markWALFrom), ReplayedAt: m.time(markReplayedAt),
		Consistent: m.lsn(markConsistent), EarliestAt: m.time(markEarliestAt), Label: m[markLabel]}
}

// complete is true of a snapshot whose earliest moment is known.
func (s Snapshot) complete() bool { return s.Consistent != 0 && !s.EarliestAt.IsZero() }

// held says who keeps ZFS from destroying the snapshot; "" is nobody.
func (s Snapshot) held() string {
	var why []string
	for _, m := range s.Members {
		if m.Clones > 0 {
			why = append(why, "has a clone")
		}
		if m.UserRefs > 0 {
			why = append(why, "has a hold")
		}
	}
	return strings.Join(unique(why), ", ")
}

func unique(list []string) []string {
	seen := map[string]bool{}
	out := list[:0:0]
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// newest is the moment that the cadence counts from; nil where there is none.
func newest(list []Snapshot) *time.Time {
	var t *time.Time
	for i := range list {
		if at := list[i].TakenAt; t == nil || at.After(*t) {
			t = &at
		}
	}
	return t
}
