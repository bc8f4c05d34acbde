package spec

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/fatih/color"
)

// maxSourceWidth is how much of a long source line a report shows, in columns.
const maxSourceWidth = 120

// Report writes the problems for a person: each with its place, its line of
// the file, a caret under the column and the way out.
func Report(w io.Writer, ps Problems, colour bool) {
	paint := newPalette(colour)
	for i, p := range ps {
		if i > 0 {
			fmt.Fprintln(w)
		}
		message := p.Message
		if p.Warning {
			message = paint.warning("warning:") + " " + message
		}
		fmt.Fprintf(w, "%s: %s\n", paint.place(p.Pos.String()), message)
		if p.Source != "" {
			source, caret := excerpt(p.Source, p.Pos.Col)
			margin := fmt.Sprintf("%5d | ", p.Pos.Line)
			fmt.Fprintf(w, "%s%s\n", margin, source)
			fmt.Fprintf(w, "%s| %s%s\n", strings.Repeat(" ", len(margin)-len("| ")), strings.Repeat(" ", caret), paint.caret("^"))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "%8s%s\n", "", paint.hint(p.Hint))
		}
	}
}

// palette paints the parts of a report.
type palette struct {
	place, warning, caret, hint func(...any) string
}

func newPalette(colour bool) palette {
	paint := func(attributes ...color.Attribute) func(...any) string {
		c := color.New(attributes...)
		if colour {
			c.EnableColor()
		} else {
			c.DisableColor()
		}
		return c.SprintFunc()
	}
	return palette{
		place:   paint(color.Bold),
		warning: paint(color.FgYellow, color.Bold),
		caret:   paint(color.FgRed, color.Bold),
		hint:    paint(color.FgCyan),
	}
}

// excerpt is a source line as a terminal shows it, and the columns before the
// character at col (which counts characters from 1). Tabs become spaces, and
// a long line is cut around the column.
func excerpt(source string, col int) (line string, caret int) {
	const tab = "    "
	var cells []string
	at := 0
	for i, r := range []rune(source) {
		if i == col-1 {
			at = len(cells)
		}
		switch {
		case r == '\t':
			cells = append(cells, tab)
		case !unicode.IsPrint(r):
			cells = append(cells, "\ufffd")
		default:
			cells = append(cells, string(r))
		}
	}
	if col > len(cells) {
		at = len(cells)
	}
	first, last := 0, len(cells)
	var head, tail string
	if last > maxSourceWidth {
		first = max(0, min(at-maxSourceWidth/2, last-maxSourceWidth))
		last = first + maxSourceWidth
	}
	if first > 0 {
		head = "..."
	}
	if last < len(cells) {
		tail = "..."
	}
	before := head + strings.Join(cells[first:at], "")
	return before + strings.Join(cells[at:last], "") + tail, width(before)
}

// width counts the columns of a terminal: those of East Asia take two
// (Unicode Standard Annex 11), combining marks none.
func width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case unicode.In(r, unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana),
			r >= 0x3000 && r <= 0x303e, r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}
