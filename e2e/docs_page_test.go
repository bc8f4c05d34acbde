package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A page of docs is run by its blocks, in their order:
//
//   - a block of the language console holds commands behind "$ ", lines that go
//     on behind "> ", and below each the whole of what it prints;
//   - a block of yaml under <!-- file: PATH --> is written there, and one under
//     <!-- append: PATH --> is added to it;
//   - <!-- edit: COMMAND --> is a change of a file that the text asks for, and
//     <!-- meanwhile: COMMAND --> is what the world does: both run unseen;
//   - a block under <!-- not tested: WHY --> is not run. TestDocs lists them.
type step struct {
	line     int    // of the page, from 1, where the command stands
	command  string // for the shell
	want     []string
	from, to int    // lines of the page, from 0, that want stands in
	shown    bool   // a command that people see
	file     string // or: a file that is written
	text     string
	more     bool // it is added to the file
}

// comments of a page that mean something to the test.
var pageComment = regexp.MustCompile(`(?s)^<!-- (edit|meanwhile|file|append|not tested): (.*?) -->$`)

// readPage takes a page apart. Untested are the first lines of the blocks that
// are not run.
func readPage(t testing.TB, path string, lines []string) (steps []step, untested []string) {
	t.Helper()
	var mark, argument string // the comment above
	for i := 0; i < len(lines); i++ {
		switch m := pageComment.FindStringSubmatch(lines[i]); {
		case m != nil && (m[1] == "edit" || m[1] == "meanwhile"):
			steps = append(steps, step{line: i + 1, command: m[2]})
		case m != nil:
			mark, argument = m[1], m[2]
			if !strings.HasPrefix(at0(lines, i+1), "```") {
				t.Fatalf("%s:%d: no block stands below the comment", path, i+1)
			}
		case strings.HasPrefix(lines[i], "<!--") && !strings.HasPrefix(lines[i], "<!-- Code generated"):
			t.Fatalf("%s:%d: the test does not know this comment: %s", path, i+1, lines[i])
		case strings.HasPrefix(lines[i], "```"):
			language, begin := strings.TrimPrefix(lines[i], "```"), i+1
			end := begin + slices.Index(lines[begin:], "```")
			switch {
			case end < begin:
				t.Fatalf("%s:%d: the block has no end", path, i+1)
			case mark == "not tested":
				untested = append(untested, lines[begin])
			case mark != "":
				steps = append(steps, step{line: i + 1, file: argument, text: strings.Join(lines[begin:end], "\n") + "\n", more: mark == "append"})
			case language == "console":
				steps = append(steps, consoleSteps(t, path, lines, begin, end)...)
			case language != "yaml" && language != "text":
				t.Fatalf("%s:%d: a block of %q would not be run: write console, or say that it is not tested", path, i+1, language)
			}
			i, mark = end, ""
		}
	}
	return steps, untested
}

func at0(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// consoleSteps are the commands of one block.
func consoleSteps(t testing.TB, path string, lines []string, begin, end int) (steps []step) {
	t.Helper()
	for i := begin; i < end; i++ {
		command, isCommand := strings.CutPrefix(lines[i], "$ ")
		if isCommand {
			steps = append(steps, step{line: i + 1, command: command, shown: true, from: i + 1, to: i + 1})
			continue
		}
		if len(steps) == 0 {
			t.Fatalf("%s:%d: output of no command", path, i+1)
		}
		last := &steps[len(steps)-1]
		if more, goesOn := strings.CutPrefix(lines[i], "> "); goesOn && len(last.want) == 0 {
			last.command, last.from, last.to = last.command+"\n"+more, i+1, i+1
			continue
		}
		last.want, last.to = append(last.want, lines[i]), i+1
	}
	return steps
}

// volatile is what differs from run to run, and so is held by its shape alone:
// the pattern of each, as it stands in a page and in what is printed.
var volatile = regexp.MustCompile(strings.Join([]string{
	`(?P<moment>\b\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d+)?)`,
	`(?P<snapshot>\bzr-\d{8}T\d{6}Z)`,
	`(?P<segment>\b[0-9A-F]{24}\b)`,
	`(?P<lsn>\b[0-9A-F]{1,8}/[0-9A-F]{6,8}\b)`,
	`(?P<system>\b\d{19}\b)`,
	`(?P<transaction>\btransaction \d+)`,
	`(?P<segments>\b\d+ segments?\b)`,
	`(?P<size>\b\d+(?:\.\d+)?(?:[KMG]i)?B\b)`,
	`(?P<span>\b\d+(?:\.\d+)?(?:µs|ms|s|m|h|d)\b(?: \d+(?:s|m|h)\b)?)`,
}, "|"))

// learned are the moments, snapshots and LSNs that stand in a command of a page:
// an output above shows each of them, and what the test has seen in its place
// goes into the command. real is by the page's word, page by the real one.
type learned struct{ real, page map[string]string }

// learning are those that the commands of the steps ask for.
func learning(steps []step) *learned {
	l := &learned{real: map[string]string{}, page: map[string]string{}}
	for _, s := range steps {
		for _, word := range volatile.FindAllString(s.command, -1) {
			l.real[word] = ""
		}
	}
	return l
}

// inCommand puts what was seen in place of what the page says.
func (l *learned) inCommand(command string) string {
	return volatile.ReplaceAllStringFunc(command, func(text string) string {
		if real := l.real[text]; real != "" {
			return real
		}
		return text
	})
}

// inPage is the way back, for what the page is to show.
func (l *learned) inPage(output string) string {
	return volatile.ReplaceAllStringFunc(output, func(text string) string {
		if page, seen := l.page[text]; seen {
			return page
		}
		return text
	})
}

// matches compares what a page shows with what was printed; "..." stands for
// anything within a line, and alone on a line for any lines.
func (l *learned) matches(want, got []string) error {
	var pattern strings.Builder
	var words []string // of the page, by group
	for _, line := range want {
		line = blanks(line)
		if strings.TrimSpace(line) == "..." {
			pattern.WriteString(`(?:.*\n)*?`)
			continue
		}
		last := 0
		for _, at := range volatile.FindAllStringSubmatchIndex(line, -1) {
			literal(&pattern, line[last:at[0]])
			word, shape := line[at[0]:at[1]], ""
			for i, name := range volatile.SubexpNames() {
				if name != "" && at[2*i] >= 0 {
					shape = shapes[name]
				}
			}
			switch real, learns := l.real[word]; {
			case real != "":
				pattern.WriteString(regexp.QuoteMeta(real))
			case learns && !slices.Contains(words, word):
				words = append(words, word)
				pattern.WriteString("(" + shape + ")")
			default:
				pattern.WriteString(shape)
			}
			last = at[1]
		}
		literal(&pattern, line[last:])
		pattern.WriteString(`\n`)
	}
	var printed strings.Builder
	for _, line := range got {
		printed.WriteString(blanks(line) + "\n")
	}
	re, err := regexp.Compile("^" + pattern.String() + "$")
	if err != nil {
		return err
	}
	m := re.FindStringSubmatch(printed.String())
	if m == nil {
		return fmt.Errorf("the page shows\n%s\nand printed was\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	for i, word := range words {
		l.real[word], l.page[m[i+1]] = m[i+1], word
	}
	return nil
}

// shapes of what is volatile, by name, without groups.
var shapes = func() map[string]string {
	shapes := map[string]string{}
	for _, alternative := range strings.Split(volatile.String(), "|(?P<") {
		name, shape, _ := strings.Cut(strings.TrimPrefix(alternative, "(?P<"), ">")
		shapes[name] = strings.TrimSuffix(shape, ")")
	}
	return shapes
}()

// literal is text that must stand as it is, but for its wildcards.
func literal(pattern *strings.Builder, text string) {
	for i, piece := range strings.Split(text, "...") {
		if i > 0 {
			pattern.WriteString(`.*`)
		}
		pattern.WriteString(regexp.QuoteMeta(piece))
	}
}

var runOfBlanks = regexp.MustCompile(`[ \t]+`)

// blanks makes one of each run of blanks: columns are as wide as what is in them.
func blanks(line string) string {
	return runOfBlanks.ReplaceAllString(strings.TrimRight(line, " \t\r"), " ")
}

// TestDocsMatching holds what the pages are compared by: what differs in more
// than its shape is told, and what was seen must stay what it was.
func TestDocsMatching(t *testing.T) {
	l := learning([]step{{command: "restore --time '2026-01-01 00:00:00+00' --snapshot zr-20260101T000000Z"}})
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"SAFE: to 4s ago", "SAFE: to 12s ago", true},
		{"SAFE: to 4s ago", "WARNING: to 4s ago", false},
		{"taken zr-20260101T000000Z", "taken zr-20261128T101112Z", true},
		{"zr-20260101T000000Z", "zr-20261128T101113Z", false},
		{"zr-20260101T000000Z", "zr-20261128T101112Z", true},
		{"zr-20260102T000000Z", "zr-20261128T101114Z", true},
		{"zr-20260102T000000Z", "zr-20261128T101115Z", true}, // no command asks for it
		{"at 2026-01-01 00:00:00+00", "at 2026-11-28 10:11:12.5+00", true},
		{"at 0/3000000 ...", "at 11D/97002068 of nobody", true},
		{"a\n...\nb", "a\nx\ny\nb", true},
		{"a\n...\nb", "a\nx\nc", false},
		{"", "something", false},
		{"1500 rows", "1501 rows", false},
		{"a  b", "a b", true},
	} {
		if err := l.matches(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")); (err == nil) != c.same {
			t.Errorf("%q and %q: %v", c.want, c.got, err)
		}
	}
	if got := l.inCommand("restore --time '2026-01-01 00:00:00+00' --snapshot zr-20260101T000000Z"); got != "restore --time '2026-11-28 10:11:12.5+00' --snapshot zr-20261128T101112Z" {
		t.Errorf("a later command is %s", got)
	}
}

func readLines(t testing.TB, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
