package primary

import "testing"

// A follower of each kind takes its primary's place, and the old one's crash
// takes nothing along that the follower had.
func TestFailover(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			p, err := New(kind)
			destroyed(t, p)
			if err != nil {
				t.Fatal(err)
			}
			f, err := p.Follower()
			destroyed(t, f)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Exec("CREATE TABLE ledger AS SELECT 41 AS n"); err != nil {
				t.Fatal(err)
			}
			for _, step := range []func() error{func() error { return f.CatchUp(p) }, p.Kill, f.Promote} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Exec("UPDATE ledger SET n = n + 1"); err != nil {
				t.Fatal(err)
			}
			var n, timeline int
			var standby bool
			// pg_control's timeline is the new one only after the next checkpoint.
			err = f.QueryRow("SELECT n, pg_is_in_recovery(), ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int FROM ledger",
				&n, &standby, &timeline)
			if err != nil || n != 42 || standby || timeline != 2 {
				t.Errorf("n is %d, standby %t, timeline %d (%v); want 42, false, 2", n, standby, timeline, err)
			}
			replicates(t, f)
		})
	}
}

func destroyed(t *testing.T, p *Primary) {
	t.Cleanup(func() {
		if err := p.Destroy(); err != nil {
			t.Error(err)
		}
	})
}
