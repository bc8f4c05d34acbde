package main

import (
	"cmp"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/fatih/color"
	"golang.org/x/sys/unix"
)

// defaultWidth is the number of columns where there is no terminal to ask.
const defaultWidth = 80

// stream is stdout or stderr, and what may be done on it.
type stream struct {
	io.Writer
	terminal bool // a person watches: progress bars are welcome
	colour   bool // a terminal, and NO_COLOR is not set (https://no-color.org)
	utf8     bool // a terminal whose locale says so
	width    int  // columns
	journal  bool // connected to the journal, which reads priorities (systemd.exec(5), JOURNAL_STREAM)
}

// newStream looks at a file: only a terminal answers TIOCGWINSZ
// (ioctl_tty(2)), and says its width along with it.
func newStream(f *os.File, getenv func(string) string) stream {
	s := stream{Writer: f, width: defaultWidth}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return s
	}
	s.terminal = true
	s.utf8 = speaksUTF8(getenv)
	s.colour = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if size.Col > 0 {
		s.width = int(size.Col)
	}
	return s
}

// speaksUTF8 asks the locale, the first variable that is set (locale(7)).
func speaksUTF8(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.HasSuffix(locale, "utf-8") || strings.HasSuffix(locale, "utf8")
}

// checked is a writer that remembers its first failure, so that the many small
// writes of a rendering need not be looked at one by one.
type checked struct {
	io.Writer
	err error
}

func (c *checked) Write(b []byte) (int, error) {
	n, err := c.Writer.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// palette paints text, or leaves it plain.
type palette bool

func (p palette) paint(text string, how ...color.Attribute) string {
	c := color.New(how...)
	if p {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}

func (p palette) strong(text string) string { return p.paint(text, color.Bold) }
func (p palette) faint(text string) string  { return p.paint(text, color.Faint) }
func (p palette) good(text string) string   { return p.paint(text, color.FgGreen) }
func (p palette) warn(text string) string   { return p.paint(text, color.FgYellow) }
func (p palette) bad(text string) string    { return p.paint(text, color.FgRed) }

// printable is text as one line that is safe on a terminal: what a server or
// a file name slips in as control characters is shown quoted.
func printable(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return text
	}
	return strconv.Quote(text)
}

// indented is text whose lines, each safe on a terminal, all start with the
// same indent; it ends with a newline.
func indented(indent, text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n") + "\n") {
		b.WriteString(indent)
		b.WriteString(printable(strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")))
		b.WriteByte('\n')
	}
	return b.String()
}
