package spec

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Remarks are what a written site file says beside its values.
type Remarks struct {
	Head string            // the comment at the top, with line breaks as they are
	At   map[string]string // comments by the path of a key, such as standby.port; an item of a list by its name: datasets.data
	Off  []string          // top-level keys that are written commented out, together, behind the others
	Why  string            // the comment above those
}

// OffMark begins each line of a section that is written commented out. Taking
// it away leaves the section as it would be.
const OffMark = "#: "

// Write writes a site as a file, in the order of the reference spec: what has
// its default is left out. It is the inverse of Parse, but for aliases, and
// for what restores share, which stands at each of them.
func Write(site *Site, r Remarks) ([]byte, error) {
	var on, off bytes.Buffer
	for _, section := range sections(site, r.At) {
		text, err := encodeSection(section)
		if err != nil {
			return nil, fmt.Errorf("write the site file's %s: %w", section[0].name, err)
		}
		if slices.Contains(r.Off, section[0].name) {
			off.WriteByte('\n')
			for line := range strings.Lines(text) {
				off.WriteString(OffMark + line)
			}
			continue
		}
		if on.Len() > 0 {
			on.WriteByte('\n')
		}
		on.WriteString(text)
	}
	var out bytes.Buffer
	writeComment(&out, r.Head)
	out.Write(on.Bytes())
	if off.Len() > 0 {
		out.WriteByte('\n')
		writeComment(&out, r.Why)
		out.Write(off.Bytes())
	}
	return out.Bytes(), nil
}

func writeComment(out *bytes.Buffer, text string) {
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimRight("# "+line, " \n") + "\n")
	}
}

// field is a key of a mapping in the making.
type field struct {
	name    string
	value   *yaml.Node
	comment string
}

// mapping collects the fields that are given.
type mapping struct {
	path   string // of the mapping, with a point behind; "" is the file
	at     map[string]string
	fields []field
}

func (m *mapping) child(name string) *mapping { return &mapping{path: m.path + name + ".", at: m.at} }

// put adds a key; a nil value is none.
func (m *mapping) put(name string, value *yaml.Node) {
	if value != nil {
		m.fields = append(m.fields, field{name, value, m.at[m.path+name]})
	}
}

// text adds a key unless its value is the default.
func (m *mapping) text(name, value, usual string) {
	if value != usual {
		m.put(name, scalar(value))
	}
}

// node is the mapping as YAML; nil where it has no keys. One that is short
// stands on its line.
func (m *mapping) node() *yaml.Node {
	if len(m.fields) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	length, plain := 0, true
	for _, f := range m.fields {
		n.Content = append(n.Content, keyNode(f), f.value)
		length += len(f.name) + len(f.value.Value) + len(": , ")
		plain = plain && f.value.Kind == yaml.ScalarNode && f.comment == "" && !strings.Contains(f.value.Value, "\n")
	}
	if plain && length <= flowWidth {
		n.Style = yaml.FlowStyle
	}
	return n
}

// flowWidth is the most that a mapping or a list has on one line, in bytes.
const flowWidth = 76

// keyNode is a key with its comment: beside its value where both are short,
// else above it.
func keyNode(f field) *yaml.Node {
	key := scalar(f.name)
	switch {
	case f.comment == "":
	case besides(f):
		f.value.LineComment = "#" + alignMark + " " + f.comment
	default:
		var above bytes.Buffer
		for _, line := range wrap(f.comment, commentWidth) {
			writeComment(&above, line+"\n")
		}
		key.HeadComment = strings.TrimSuffix(above.String(), "\n")
	}
	return key
}

func besides(f field) bool {
	length := len(f.name) + len(f.value.Value) + utf8.RuneCountInString(f.comment)
	for _, part := range f.value.Content {
		length += len(part.Value)
	}
	return (f.value.Kind == yaml.ScalarNode || f.value.Style == yaml.FlowStyle) && length <= besideWidth
}

// Where comments stand, in columns.
const (
	besideWidth  = 104
	commentWidth = 96
	commentFrom  = 30
	commentUpTo  = 48 // what is longer does not push those of other lines
)

// alignMark stands in a comment that is to be aligned with its neighbours: a
// character that no value of a site file holds.
const alignMark = "\ue000"

// wrap breaks a text at spaces.
func wrap(text string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(text) {
		if n := len(lines) - 1; n >= 0 && utf8.RuneCountInString(lines[n])+1+utf8.RuneCountInString(word) <= width {
			lines[n] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}

// scalar is a value that is read back as the same text.
func scalar(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	var back yaml.Node
	if text == "" || yaml.Unmarshal([]byte(text), &back) == nil && len(back.Content) == 1 && back.Content[0].Tag == "!!null" {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// list is one of texts; nil where it is empty.
func list(texts []string) *yaml.Node {
	if len(texts) == 0 {
		return nil
	}
	n := &yaml.Node{Kind: yaml.SequenceNode}
	length := 0
	for _, t := range texts {
		n.Content = append(n.Content, scalar(t))
		length += len(t) + len(", ")
	}
	if length <= flowWidth {
		n.Style = yaml.FlowStyle
	}
	return n
}

// items is a list of mappings; one of none is nil.
func items(nodes []*yaml.Node) *yaml.Node {
	if len(nodes) == 0 {
		return nil
	}
	return &yaml.Node{Kind: yaml.SequenceNode, Content: nodes}
}

// encodeSection writes some keys of the file.
func encodeSection(fields []field) (string, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range fields {
		n.Content = append(n.Content, keyNode(f), f.value)
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(n); err != nil {
		return "", err
	}
	if err := encoder.Close(); err != nil {
		return "", err
	}
	return aligned(b.String()), nil
}

// aligned brings the comments beside values of a section into one column.
func aligned(text string) string {
	column := commentFrom
	for line := range strings.Lines(text) {
		if before, _, found := strings.Cut(line, " #"+alignMark); found {
			if n := utf8.RuneCountInString(before) + 1; n <= commentUpTo {
				column = max(column, n)
			}
		}
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		before, comment, found := strings.Cut(line, " #"+alignMark)
		if found {
			line = before + strings.Repeat(" ", max(1, column-utf8.RuneCountInString(before))) + "#" + comment
		}
		out.WriteString(line)
	}
	return out.String()
}
