package postgres

import "testing"

func TestLostInTellsTheLastWord(t *testing.T) {
	const removed = "2026-11-23 FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed"
	const streaming = "2026-11-23 LOG:  started streaming WAL from primary at 0/3000000 on timeline 1"
	const forked = "2026-11-23 LOG:  new timeline 2 forked off current database system timeline 1 before current recovery point 0/1000090"
	restored := func(name string) string { return `2026-11-23 LOG:  restored log file "` + name + `" from archive` }
	tests := []struct{ name, log, want string }{
		{"an empty log", "", ""},
		{"it streams", streaming + "\n", ""},
		{"it is lost", streaming + "\n" + removed + "\n", removed},
		{"the archive healed it", removed + "\n" + streaming + "\n", ""},
		{"the primary went another way", streaming + "\n" + forked + "\n", forked},
		{"the old primary is back", forked + "\n" + streaming + "\n", ""},
		{"the segment came from the archive", removed + "\n" + restored("000000010000000000000003") + "\n", ""},
		{"and a later one", removed + "\n" + restored("00000001000000000000000A") + "\n", ""},
		{"the one before came from the archive again", removed + "\n" + restored("000000010000000000000002") + "\n", removed},
		{"a history came from the archive", removed + "\n" + restored("00000002.history") + "\n", removed},
		{"WAL from the archive brings no other way back", forked + "\n" + restored("000000010000000000000004") + "\n", forked},
		{"lost again", removed + "\n" + streaming + "\n" + removed + "\nLOG:  waiting for WAL\n", removed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := lostIn([]byte(test.log)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
