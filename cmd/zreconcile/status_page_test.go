package main

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/zreconcile/zreconcile/reconcile"
)

// page is a status as HTML.
func page(t *testing.T, s reconcile.Status) string {
	t.Helper()
	var out bytes.Buffer
	v := view{w: &out, palette: true, width: 80, now: testNow, zone: time.UTC}
	if err := writeStatusPage(&out, v, s, login{"postgres", "postgres", "host=db port=5432 sslmode=require"}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Look at them in a browser when they change: light, dark, on paper, and as narrow
// as a phone.
func TestStatusPage(t *testing.T) {
	for name, s := range map[string]reconcile.Status{
		"status.html":       sampleStatus(t),
		"status-blank.html": reconcile.BlankStatus("rds-prod", "zfs list failed: exit status 1\ncannot open 'zp1': no such pool"),
	} {
		t.Run(name, func(t *testing.T) {
			text := page(t, s)
			golden(t, name, []byte(text))
			checkPage(t, text)
		})
	}
}

// What comes from servers, files and people is text on the page, and nothing else.
func TestHostileStatusPage(t *testing.T) {
	hostile := "</title></svg></pre><script>alert(1)</script>' \" onload=alert(1) style=x {{.}} \x1b[31m\u202e\x00\xff"
	for length := range 3 {
		s := sampleStatus(t)
		fill(reflect.ValueOf(&s).Elem(), hostile, length)
		s.Verdict.Level, s.Standby.State = reconcile.LevelCritical, reconcile.StandbyStreaming
		text := page(t, s)
		checkPage(t, text)
		if length > 0 && strings.Count(text, "alert(1)") < 40 {
			t.Errorf("the page shows %d of the texts", strings.Count(text, "alert(1)"))
		}
	}
}

// fill puts a text into each field of a thing, and gives each empty list a length.
func fill(v reflect.Value, text string, length int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), text, length)
	case reflect.Slice:
		if v.Len() != length {
			v.Set(reflect.MakeSlice(v.Type(), length, length))
		}
		for i := range v.Len() {
			fill(v.Index(i), text, length)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[reconcile.Time]() {
			if v.Field(0).Interface().(time.Time).IsZero() {
				v.Set(reflect.ValueOf(reconcile.Time{Time: testNow.Add(-time.Hour)}))
			}
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), text, length)
		}
	}
}

// voids are the elements that have no end (HTML, section "Void elements").
var voids = []string{"meta", "br", "img", "link", "input", "hr"}

// checkPage holds a page to what it promises: it is balanced, runs and fetches
// nothing, and tells those who do not see it the same.
func checkPage(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Error("it is not UTF-8")
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Errorf("%q is in it", text[i:i+4])
	}
	var open []string
	attributes, elements := map[string][]string{}, map[string]int{}
	for z := html.NewTokenizer(strings.NewReader(text)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		token := z.Token()
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			elements[token.Data]++
			checkElement(t, token, attributes)
			if kind == html.StartTagToken && !slices.Contains(voids, token.Data) {
				open = append(open, token.Data)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("%s ends within %v", token.Data, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v do not end", open)
	}
	checkNames(t, attributes)
	for name, want := range map[string]int{"html": 1, "h1": 1, "main": 1, "style": 1, "caption": elements["table"]} {
		if elements[name] != want {
			t.Errorf("%d of %s, want %d", elements[name], name, want)
		}
	}
	for _, foreign := range []string{"script", "link", "img", "iframe", "object", "base", "form", "a"} {
		if elements[foreign] > 0 {
			t.Errorf("it has %s", foreign)
		}
	}
	for _, foreign := range []string{"http:", "https:", "url(", "@import", "ZgotmplZ"} {
		if strings.Contains(text, foreign) {
			t.Errorf("it has %q", foreign)
		}
	}
	checkParsed(t, text)
}

// checkElement looks at one element, and collects the values of attributes.
func checkElement(t *testing.T, token html.Token, attributes map[string][]string) {
	t.Helper()
	own := map[string]string{}
	for _, a := range token.Attr {
		own[a.Key] = a.Val
		attributes[a.Key] = append(attributes[a.Key], a.Val)
		if strings.HasPrefix(a.Key, "on") || slices.Contains([]string{"src", "href", "style", "action"}, a.Key) {
			t.Errorf("%s has the attribute %s", token.Data, a.Key)
		}
	}
	switch {
	case token.Data == "html" && own["lang"] == "",
		token.Data == "th" && own["scope"] == "",
		token.Data == "svg" && own["aria-hidden"] != "true" && (own["role"] != "img" || own["aria-labelledby"] == "" || own["viewbox"] == ""):
		t.Errorf("%s lacks what tells of it: %v", token.Data, token.Attr)
	}
}

// checkNames: each id is one of a kind, and those that are named are there.
func checkNames(t *testing.T, attributes map[string][]string) {
	t.Helper()
	ids := attributes["id"]
	slices.Sort(ids)
	if len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("ids twice: %v", ids)
	}
	for _, id := range strings.Fields(strings.Join(attributes["aria-labelledby"], " ")) {
		if !slices.Contains(ids, id) {
			t.Errorf("there is no %s", id)
		}
	}
}

// checkParsed reads the page as a browser does, and writes it: nothing moved, as
// what is not allowed where it stands would.
func checkParsed(t *testing.T, text string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var want, have []string
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode {
			have = append(have, strings.ToLower(n.Data))
		}
	}
	for z := html.NewTokenizer(strings.NewReader(text)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		if kind == html.StartTagToken || kind == html.SelfClosingTagToken {
			want = append(want, z.Token().Data)
		}
	}
	if !slices.Equal(want, have) {
		t.Errorf("a browser reads other elements:\n%v\n%v", want, have)
	}
}

// Nothing of the picture is off it, and no label touches another of its row,
// whatever the host holds.
func TestPictureFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var ages []time.Duration
		for range 2 * rapid.IntRange(0, 20).Draw(rt, "windows") {
			ages = append(ages, time.Duration(rapid.Int64Range(0, int64(rapid.SampledFrom([]time.Duration{time.Minute, 1000 * time.Hour, 90000 * time.Hour}).Draw(rt, "span"))).Draw(rt, "age")))
		}
		slices.Sort(ages)
		slices.Reverse(ages)
		s := reconcile.Status{Windows: windowsOf(ages...), Snapshots: snapshotsAt(ages...)}
		for i, age := range ages {
			s.Snapshots[i].KeptBy = []string{strings.Repeat("daily ", i%7)}
			s.Restores = append(s.Restores, reconcile.RestoreStatus{Name: strings.Repeat("r", 1+i*7%40), Reached: &reconcile.Moment{Time: &reconcile.Time{Time: testNow.Add(-age)}}})
		}
		for _, width := range []int{narrowTimeline, wideTimeline} {
			p, ok := newPicture(view{now: testNow, zone: time.UTC}, s, "x", width)
			if !ok {
				continue
			}
			covered := 0
			for _, b := range p.Bars {
				if b.X != covered || b.Width <= 0 {
					rt.Fatalf("the line is not covered once: %v", p.Bars)
				}
				covered += b.Width
			}
			if covered != width || p.Now < 0 || p.Now > width {
				rt.Fatalf("the line is %d of %d, now is at %d", covered, width, p.Now)
			}
			for name, marks := range map[string][]mark{"edges": p.Edges, "ticks": p.Ticks, "snapshots": p.Snapshots, "restores": p.Restores} {
				if err := touching(marks, width, p.Bottom, name == "restores"); err != nil {
					rt.Fatalf("%s: %v", name, err)
				}
			}
			drawn := 0
			for _, m := range p.Snapshots {
				drawn += m.Count
			}
			if drawn != len(ages) || len(p.Restores) != len(ages) {
				rt.Fatalf("%d of %d snapshots, %d restores", drawn, len(ages), len(p.Restores))
			}
		}
	})
}

// touching finds two labels of a row that touch, or something off the picture;
// and, where labels stand beside marks, a mark that hides a label.
func touching(marks []mark, width, bottom int, beside bool) error {
	for i, a := range marks {
		end := a.LabelX + utf8.RuneCountInString(a.Label)*letterWidth/2
		if a.X < 0 || a.X > width || a.Y > bottom || a.LabelX < 0 || end > width {
			return fmt.Errorf("%v is off", a)
		}
		for j, b := range marks {
			if i == j {
				continue
			}
			if a.Label != "" && b.Label != "" && a.Y == b.Y && a.LabelX < b.LabelX+utf8.RuneCountInString(b.Label)*letterWidth/2 && b.LabelX < end {
				return fmt.Errorf("%v touches %v", a, b)
			}
			if beside && a.Label != "" && a.Y == b.Y && b.X+markWidth/2 > a.LabelX && b.X-markWidth/2 < end {
				return fmt.Errorf("%v hides %v", a, b)
			}
		}
	}
	return nil
}

// Restores that stand close together have a lane each, on the side where there is
// room; behind the last lane names are left out, and no mark.
func TestRestoresOfAPicture(t *testing.T) {
	s := reconcile.Status{Windows: windowsOf(10*time.Hour, 0), Snapshots: snapshotsAt(10 * time.Hour)}
	for i := range mostLanes + 2 {
		s.Restores = append(s.Restores, reconcile.RestoreStatus{Name: fmt.Sprintf("restore-%d", i), State: "running",
			Reached: &reconcile.Moment{Time: &reconcile.Time{Time: testNow.Add(-time.Duration(i) * time.Minute)}}})
	}
	p, ok := newPicture(view{now: testNow, zone: time.UTC}, s, "x", wideTimeline)
	if !ok || len(p.Restores) != mostLanes+2 {
		t.Fatalf("%t: %v", ok, p.Restores)
	}
	for i, m := range p.Restores {
		named := m.Label == s.Restores[i].Name && m.LabelX < m.X
		if at := min(i, mostLanes); m.Y != restoresY+at*laneHeight || named != (i < mostLanes) || !strings.Contains(m.Title, s.Restores[i].Name) {
			t.Errorf("restore %d is at %+v", i, m)
		}
	}
}

func TestClusters(t *testing.T) {
	for _, test := range []struct {
		cells []int
		width int
		want  string
	}{
		{nil, 10, "[]"},
		{[]int{0, 5, 9, 10, 30}, 10, "[[0 1 2] [3] [4]]"},
		{[]int{3, 3, 3}, 1, "[[0 1 2]]"},
		{[]int{1, 2, 3}, 1, "[[0] [1] [2]]"},
	} {
		if got := fmt.Sprint(clusters(test.cells, test.width)); got != test.want {
			t.Errorf("%v by %d: %s, want %s", test.cells, test.width, got, test.want)
		}
	}
}

// The page is written whatever happens, and the exit status is that of text.
func TestStatusAsHTML(t *testing.T) {
	for _, test := range []struct {
		name string
		host recorder
		want int
		says []string
	}{
		{"seen", recorder{status: sampleStatus(t)}, exitDone, []string{"<p class=\"word\">CRITICAL</p>", "Site rds-prod"}},
		{"in part", recorder{status: reconcile.Status{Site: "rds-prod", Failures: []string{"the archive: permission denied"}}}, exitFailed, []string{"the archive: permission denied"}},
		{"not at all", recorder{err: errors.New("zfs list failed <&>")}, exitFailed, []string{"zfs list failed &lt;&amp;&gt;", "UNKNOWN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, stdout, stderr := invoke(t, &test.host, "status", "-o", "html")
			if status != test.want || (test.host.err != nil) != (stderr != "") {
				t.Errorf("exit status %d, want %d: %s", status, test.want, stderr)
			}
			for _, text := range test.says {
				if !strings.Contains(stdout, text) {
					t.Errorf("it does not say %q", text)
				}
			}
			checkPage(t, stdout)
		})
	}
}
