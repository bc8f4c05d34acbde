package zfs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type record struct {
	Name   string
	Values map[string]Value
}

func readAll(properties []string, pieces ...string) ([]record, error) {
	var records []record
	r := newPropertyReader("p", properties, func(name string, values map[string]Value) error {
		records = append(records, record{name, values})
		return nil
	})
	for _, piece := range pieces {
		if _, err := r.Write([]byte(piece)); err != nil {
			return nil, err
		}
	}
	return records, r.Close()
}

// pitfall 47: blanks, tabs, newlines and nothing in values, blanks in sources; the output may be cut into
// pieces anywhere.
func TestPitfall47_PropertyReaderReadsWhatZFSWrites(t *testing.T) {
	properties := []string{"guid", "zr:a", "zr:b"}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[a-z \t\n-]{0,12}`)
		source := rapid.SampledFrom([]string{"local", "default", "received", "temporary", "inherited from p/x y", "-"})
		var text strings.Builder
		var want []record
		for i := range rapid.IntRange(0, 4).Draw(t, "datasets") {
			rec := record{Name: fmt.Sprintf("p/d %d@s", i), Values: map[string]Value{}}
			for _, property := range properties {
				v, s := value.Draw(t, "value"), source.Draw(t, "source")
				fmt.Fprintf(&text, "%s\t%s\t%s\t%s\n", rec.Name, property, v, s)
				switch {
				case v == "-" && s == "-":
				case s == "-":
					rec.Values[property] = Value{Value: v, Source: "none"}
				case strings.HasPrefix(s, "inherited"):
					rec.Values[property] = Value{Value: v, Source: "inherited", From: "p/x y"}
				default:
					rec.Values[property] = Value{Value: v, Source: s}
				}
			}
			want = append(want, rec)
		}
		at := rapid.IntRange(0, text.Len()).Draw(t, "cut")
		got, err := readAll(properties, text.String()[:at], text.String()[at:])
		if err != nil {
			t.Fatalf("%v\n%s", err, text.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestPropertyReaderRefuses(t *testing.T) {
	properties := []string{"guid", "zr:a"}
	for name, text := range map[string]string{
		"a forged record in a value": "p\tguid\t1\tlocal\np\tzr:a\tforged\tlocal\tlocal\np\tzr:a\t-\t-\n",
		"a record cut off":           "p\tguid\t1\t-\n",
		"a line cut off":             "p\tguid\t1\t-\np\tzr:a\tx\tlo",
		"another pool first":         "q\tguid\t1\t-\n",
		"an unknown source":          "p\tguid\t1\tnowhere\np\tzr:a\t1\tlocal\n",
		"no source":                  "p\tguid\t1\np\tzr:a\t1\tlocal\n",
		"an error message":           "internal error: out of memory\n",
		"a skipped property":         "p\tguid\t1\t-\np/b\tguid\t1\t-\n",
	} {
		if got, err := readAll(properties, text); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

func FuzzPropertyReader(f *testing.F) {
	f.Add("p\tguid\t1\t-\np\tzr:a\tx\ty\tlocal\n", 7)
	f.Add("p@s\tguid\t\t-\np@s\tzr:a\t\n\n\tinherited from p\n", 0)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		whole, wholeErr := readAll([]string{"guid", "zr:a"}, text)
		cut = max(0, min(cut, len(text)))
		parts, partsErr := readAll([]string{"guid", "zr:a"}, text[:cut], text[cut:])
		if (wholeErr == nil) != (partsErr == nil) || wholeErr == nil && !cmp.Equal(whole, parts) {
			t.Fatalf("read whole: %v, %v; in parts: %v, %v", whole, wholeErr, parts, partsErr)
		}
	})
}
