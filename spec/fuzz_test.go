package spec

import (
	"bytes"
	"os"
	"testing"
)

// FuzzParse: no bytes make Parse or Report panic, and a site comes with no
// error and each error with a place.
func FuzzParse(f *testing.F) {
	for _, file := range append(faults(f), "../examples/site.yaml", "../examples/production.yaml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, files := range []map[string][]byte{
			{"site.yaml": data},
			{"site.yaml": []byte(minimal), "site.d/1.yaml": data},
		} {
			site, problems := Parse(files, "site.yaml")
			if (site == nil) != (len(problems.Errors()) > 0) {
				t.Fatalf("site %v with the problems:\n%v", site, problems)
			}
			for _, p := range problems {
				if p.Pos.File == "" || p.Pos.Line < 1 || p.Pos.Col < 1 || p.Message == "" {
					t.Fatalf("a problem without its place: %+v", p)
				}
			}
			var out bytes.Buffer
			Report(&out, problems, false)
		}
	})
}

func FuzzQuantities(f *testing.F) {
	for _, seed := range []string{"1h30m", "2020-03-21 17:28:37.670338+08", "10%", "1 1 * * *", "@daily", "TZ=0", "200M"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil && d < 0 {
			t.Errorf("ParseDuration(%q) = %v", s, d)
		}
		if share, err := parsePercent(s); err == nil && (share < 0 || share >= 1) {
			t.Errorf("parsePercent(%q) = %v", s, share)
		}
		if moment, err := ParseTime(s); err == nil {
			if again, err := ParseTime(moment.Format("2006-01-02 15:04:05.999999Z07:00")); err != nil || !again.Equal(moment) {
				t.Errorf("ParseTime(%q) = %v, read again %v, %v", s, moment, again, err)
			}
		}
		_, _ = ParseSchedule(s)
		_, _ = parseRate(s)
	})
}
