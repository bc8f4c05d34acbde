package conf

import "testing"

func TestSameSetting(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		want       bool
	}{
		{"shared_buffers", "32GB", "32768MB", true},
		{"shared_buffers", "4194304", "32GB", true}, // in pages of 8 kB
		{"Shared_Buffers", "0.5GB", "512 MB", true},
		{"shared_buffers", "32GB", "32MB", false},
		{"work_mem", "65536", "64MB", true},
		{"max_wal_size", "1024", "1GB", true},
		{"archive_timeout", "5min", "300s", true},
		{"archive_timeout", "300", "5min", true},
		{"wal_sender_timeout", "60000", "1min", true},
		{"x.y", "5min", "300s", true},
		{"x.y", "300", "5min", false}, // its unit is not known
		{"x.y", "1MB", "1mb", false},  // units heed case
		{"x.y", "1MB", "1048576us", false},
		{"seq_page_cost", "1.0", "1", true},
		{"seq_page_cost", "1e-1", ".1", true},
		{"fsync", "on", "TRUE", true}, {"fsync", "yes", "1", true}, {"fsync", "off", "f", true}, {"fsync", "0", "no", true}, {"fsync", "on", "off", false},
		{"fsync", "o", "on", false}, // ambiguous
		{"cluster_name", "a", "A", false},
		{"cluster_name", "", "off", false}, {"cluster_name", "", "", true},
		{"log_min_duration_statement", "-1", "-1", true},
		{"log_min_duration_statement", "0", "0ms", true},
		{"wal_buffers", "-1", "16MB", false},
	} {
		if got := SameSetting(c.name, c.a, c.b); got != c.want {
			t.Errorf("%s: %q and %q: %t", c.name, c.a, c.b, got)
		}
		if got := SameSetting(c.name, c.b, c.a); got != c.want {
			t.Errorf("%s: %q and %q, turned round: %t", c.name, c.b, c.a, got)
		}
	}
}
