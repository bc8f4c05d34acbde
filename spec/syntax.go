package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxFileSize bounds a site file, in bytes: what a person writes is a
// hundredth of it, and reading it must stay quick.
const maxFileSize = 1 << 20

// parseYAML reads the only document of a file. The node is nil when there is
// a problem.
func parseYAML(file string, data []byte) (*yaml.Node, *Problem) {
	at := func(line, col int, message, hint string) *Problem {
		return &Problem{Pos: Pos{File: file, Line: line, Col: col}, Message: message, Hint: hint}
	}
	if len(data) > maxFileSize {
		return nil, at(1, 1, fmt.Sprintf("the file is over the limit of %d bytes", maxFileSize),
			"is it a site file? restores may be split over several files in site.d")
	}
	if line, col, ok := invalidUTF8(data); !ok {
		return nil, at(line, col, "the file is not UTF-8 text here", "save it as UTF-8")
	}

	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := decodeDocument(decoder, &document)
	if errors.Is(err, io.EOF) || (err == nil && isEmpty(&document)) {
		return nil, at(1, 1, "the file is empty", "")
	}
	if err != nil {
		return nil, syntaxProblem(file, data, err)
	}
	var second yaml.Node
	switch err := decodeDocument(decoder, &second); {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, syntaxProblem(file, data, err)
	default:
		return nil, at(second.Line, second.Column, "a second YAML document begins here; a file holds one",
			"remove the line ---, or move what follows to a file of its own")
	}
}

// decodeDocument guards against the parser's panics: a broken file must never
// take the daemon down.
func decodeDocument(decoder *yaml.Decoder, node *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: unreadable: %v", r)
		}
	}()
	return decoder.Decode(node)
}

// isEmpty tells a document with nothing but comments in it.
func isEmpty(document *yaml.Node) bool {
	return len(document.Content) == 0 ||
		(document.Content[0].Kind == yaml.ScalarNode && document.Content[0].Tag == "!!null")
}

// invalidUTF8 finds the first byte that is not UTF-8.
func invalidUTF8(data []byte) (line, col int, ok bool) {
	if utf8.Valid(data) {
		return 0, 0, true
	}
	line, col = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		if r == utf8.RuneError && size == 1 {
			break
		}
		col++
		if r == '\n' {
			line, col = line+1, 1
		}
		data = data[size:]
	}
	return line, col, false
}

var yamlErrorForm = regexp.MustCompile(`(?s)^yaml: (?:line ([0-9]+): )?(.*)$`)

// syntaxProblem places an error of the YAML parser, which knows the line and
// not the column, and says what the common ones mean.
func syntaxProblem(file string, data []byte, err error) *Problem {
	line, message := 1, err.Error()
	if fields := yamlErrorForm.FindStringSubmatch(err.Error()); fields != nil {
		if n, err := strconv.Atoi(fields[1]); err == nil {
			line = n
		}
		message = fields[2]
	}
	switch {
	case strings.Contains(message, "',' or"): // the line of the bracket, counted from 0
		line++
	case !strings.Contains(message, "unexpected end of stream"):
		line = firstLineWith(data, message)
	}
	lines := bytes.Split(data, []byte("\n"))
	line = min(line, len(lines))
	problem := &Problem{
		Pos:     Pos{File: file, Line: line, Col: utf8.RuneCount(lines[line-1][:faultIn(lines[line-1], message)]) + 1},
		Message: "this is not YAML: " + message,
		Hint:    syntaxHint(message),
	}
	if tabLine, tabCol := tabIndent(lines[:line]); tabLine > 0 {
		problem.Pos.Line, problem.Pos.Col = tabLine, tabCol
		problem.Message = "a tab indents this line; YAML indents with spaces only"
		problem.Hint = "replace the tab with spaces"
	}
	return problem
}

// firstLineWith finds the line of a fault, of which the parser often names
// the block around it: the shortest beginning of the file that fails in the
// same way ends with it.
func firstLineWith(data []byte, message string) int {
	var ends []int
	for i, b := range data {
		if b == '\n' {
			ends = append(ends, i+1)
		}
	}
	ends = append(ends, len(data))
	n, _ := slices.BinarySearchFunc(ends, message, func(end int, message string) int {
		err := decodeDocument(yaml.NewDecoder(bytes.NewReader(data[:end])), new(yaml.Node))
		if err != nil && strings.HasSuffix(err.Error(), ": "+message) {
			return 0
		}
		return -1
	})
	return min(n+1, len(ends))
}

var anchorForm = regexp.MustCompile(`unknown anchor '([^']*)'`)

// faultIn is the byte of a line where the fault most likely is: an anchor by
// its name, all else by the first character.
func faultIn(line []byte, message string) int {
	if fields := anchorForm.FindStringSubmatch(message); fields != nil {
		if at := bytes.Index(line, []byte("*"+fields[1])); at >= 0 {
			return at
		}
	}
	return indentOf(line)
}

// tabIndent finds the last of the lines when a tab stands in its indentation,
// else the line before it (the parser may stop one line late).
func tabIndent(lines [][]byte) (line, col int) {
	for i := len(lines) - 1; i >= max(0, len(lines)-2); i-- {
		indent := lines[i][:indentOf(lines[i])]
		if tab := bytes.IndexByte(indent, '\t'); tab >= 0 && len(bytes.TrimSpace(lines[i])) > 0 {
			return i + 1, tab + 1
		}
	}
	return 0, 0
}

func indentOf(line []byte) int {
	return len(line) - len(bytes.TrimLeft(line, " \t"))
}

func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		return "a value with \": \" in it needs quotes; a key stands under its parent, two spaces deeper"
	case strings.Contains(message, "did not find expected key"),
		strings.Contains(message, "'-' indicator"):
		return "keys of one mapping, and the dashes of one list, begin in the same column"
	case strings.Contains(message, "expected alphabetic or numeric character"):
		return "a value that begins with * or & needs quotes"
	case strings.Contains(message, "cannot start any token"):
		return "a value that begins with @, ` or % needs quotes"
	case strings.Contains(message, "',' or"):
		return "a bracket or brace that is opened here is not closed"
	case strings.Contains(message, "unexpected end of stream"):
		return "a quote that is opened here is not closed"
	case strings.Contains(message, "unknown anchor"):
		return "define it with & above the place where * uses it"
	}
	return ""
}
