package spec

import "testing"

func TestSuggest(t *testing.T) {
	known := []string{"dataDir", "port", "listenAddresses", "conf", "lsn", "xid", "time"}
	for word, want := range map[string]string{
		"data_dir": "dataDir", "datadir": "dataDir", "prot": "port", "listen_addresses": "listenAddresses",
		"listenAddress": "listenAddresses", "tiem": "time", "lns": "lsn",
		"colour": "", "x": "", "": "", "restores": "",
	} {
		hint := suggest(word, known)
		if want != "" {
			want = `did you mean "` + want + `"?`
		}
		if hint != want {
			t.Errorf("suggest(%q) = %q, want %q", word, hint, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}} {
		if got := editDistance(c.a, c.b); got != c.want || editDistance(c.b, c.a) != c.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
