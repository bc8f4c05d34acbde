package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Bounds of a file with its aliases written out. The reference spec has some
// two hundred values; a bomb of nested aliases has billions.
const (
	maxNodes = 20_000
	maxDepth = 50
)

type nodeKind int

const (
	scalarNode nodeKind = iota
	objectNode
	arrayNode
)

// node is a value of a file with aliases and merges resolved. A value that
// stands for an alias has the place of the alias; what is in it, and what a
// merge brings, has the place where it is written.
type node struct {
	kind   nodeKind
	text   string // of a scalar, as written
	tag    string // of a scalar: !!str, !!int, !!float, !!bool, !!null, !!timestamp
	quoted bool   // a scalar in quotes or a block: text, whatever it looks like
	keys   []member
	index  map[string]int // of a key in keys
	items  []*node
	pos    Pos  // of the value
	keyPos Pos  // of its key; the zero Pos when it has none
	faulty bool // the schema found a problem with it: no need for a second one
}

// member is a key of an object and its value.
type member struct {
	key   string
	pos   Pos
	value *node
}

// get follows a path of keys; nil when a part of it is missing.
func (n *node) get(path ...string) *node {
	for _, key := range path {
		n = n.child(key)
	}
	return n
}

func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	if i, found := n.index[key]; found {
		return n.keys[i].value
	}
	return nil
}

// add gives an object a key that it does not have.
func (n *node) add(m member) {
	n.index[m.key] = len(n.keys)
	n.keys = append(n.keys, m)
}

// list returns the items of an array; nil for everything else.
func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// members returns the keys and values of an object; nil for everything else.
func (n *node) members() []member {
	if n == nil {
		return nil
	}
	return n.keys
}

// place is where to point for this value: a scalar at itself, a mapping or a
// list at its key.
func (n *node) place() Pos {
	if n.keyPos != (Pos{}) && (n.kind != scalarNode || n.text == "") {
		return n.keyPos
	}
	return n.pos
}

// json is the value as encoding/json would give it. Timestamps stay text, and
// so do the words on, off, yes and no.
func (n *node) json() any {
	switch n.kind {
	case objectNode:
		object := make(map[string]any, len(n.keys))
		for _, m := range n.keys {
			object[m.key] = m.value.json()
		}
		return object
	case arrayNode:
		array := make([]any, len(n.items))
		for i, item := range n.items {
			array[i] = item.json()
		}
		return array
	}
	switch n.tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.text, "true")
	case "!!int", "!!float":
		if number, ok := n.number(); ok {
			return number
		}
	}
	return n.text
}

// number is the value of a scalar that YAML takes for one.
func (n *node) number() (any, bool) {
	scalar := yaml.Node{Kind: yaml.ScalarNode, Tag: n.tag, Value: n.text}
	var i int64
	if n.tag == "!!int" && scalar.Decode(&i) == nil {
		return i, true
	}
	var f float64
	if scalar.Decode(&f) == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
		return f, true
	}
	return nil, false
}

// treeBuilder turns yaml nodes into a node tree.
type treeBuilder struct {
	file     string
	nodes    int
	open     map[*yaml.Node]bool // anchors being written out: one in itself has no end
	problems Problems
	full     bool // a bound was reached: said once
}

// buildTree resolves the document of a file. Problems do not keep it from
// returning what is left, except a file that is too large to go on with: nil.
func buildTree(file string, root *yaml.Node) (*node, Problems) {
	b := &treeBuilder{file: file, open: map[*yaml.Node]bool{}}
	n := b.build(root, 0)
	if b.full {
		return nil, b.problems
	}
	return n, b.problems
}

func (b *treeBuilder) pos(y *yaml.Node) Pos {
	return Pos{File: b.file, Line: max(y.Line, 1), Col: max(y.Column, 1)}
}

func (b *treeBuilder) fault(y *yaml.Node, hint, format string, args ...any) {
	b.problems = append(b.problems, Problem{Pos: b.pos(y), Message: fmt.Sprintf(format, args...), Hint: hint})
}

// build writes out one value. It returns a null, marked faulty, for what it
// can't: the problem is in the list then.
func (b *treeBuilder) build(y *yaml.Node, depth int) *node {
	n := &node{pos: b.pos(y), tag: "!!null", faulty: true}
	if b.nodes++; b.nodes > maxNodes || depth > maxDepth {
		if !b.full {
			b.full = true
			b.fault(y, "use fewer aliases, or move restores to a site of their own",
				"the file holds more than %d values, or more than %d levels, with its aliases written out", maxNodes, maxDepth)
		}
		return n
	}
	if b.full {
		return n
	}
	switch y.Kind {
	case yaml.AliasNode:
		target := b.resolve(y)
		if target == nil {
			return n
		}
		b.open[target] = true
		n = b.build(target, depth+1)
		delete(b.open, target)
		n.pos = b.pos(y)
		return n
	case yaml.MappingNode:
		b.open[y] = true
		defer delete(b.open, y)
		b.object(n, y, depth)
	case yaml.SequenceNode:
		b.open[y] = true
		defer delete(b.open, y)
		n.kind, n.faulty = arrayNode, false
		for _, item := range y.Content {
			n.items = append(n.items, b.build(item, depth+1))
		}
	case yaml.ScalarNode:
		b.scalar(n, y)
	}
	return n
}

// resolve follows an alias; nil, and a problem, when it stands in its own
// anchor.
func (b *treeBuilder) resolve(y *yaml.Node) *yaml.Node {
	if y.Alias == nil || b.open[y.Alias] {
		b.fault(y, "", "the alias *%s stands inside its own anchor", y.Value)
		return nil
	}
	return y.Alias
}

func (b *treeBuilder) scalar(n *node, y *yaml.Node) {
	switch y.ShortTag() {
	case "!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp":
	default:
		b.fault(y, "write the plain value", "the tag %s means nothing here", y.Tag)
		return
	}
	n.text, n.tag, n.faulty = y.Value, y.ShortTag(), false
	n.quoted = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if i := strings.IndexFunc(y.Value, forbidden); i >= 0 {
		b.fault(y, "", "the value holds the control character %s", strconv.QuoteRune(firstRune(y.Value[i:])))
		n.faulty = true
	}
}

// forbidden tells the characters that no setting, path, name or statement
// may hold.
func forbidden(r rune) bool {
	return r == 0x7f || (r < ' ' && r != '\n' && r != '\t')
}

func firstRune(s string) rune {
	for _, r := range s {
		return r
	}
	return 0
}

// object fills n with the keys of a mapping, its own first, then those that
// its merges bring and it does not have.
func (b *treeBuilder) object(n *node, y *yaml.Node, depth int) {
	n.kind, n.faulty, n.index = objectNode, false, map[string]int{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if key.Kind == yaml.AliasNode && key.Alias != nil {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			b.fault(key, "", "a key must be a word, not a list or a mapping")
			continue
		}
		if i, found := n.index[key.Value]; found {
			b.fault(key, "keep one of the two", "the key %q is here twice: first in line %d", key.Value, n.keys[i].pos.Line)
			continue
		}
		m := member{key: key.Value, pos: b.pos(key), value: b.build(value, depth+1)}
		m.value.keyPos = m.pos
		n.add(m)
	}
	for _, merge := range merges {
		b.merge(n, merge, depth)
	}
}

// merge adds what << brings: a mapping, or a list of them of which the earlier
// wins (https://yaml.org/type/merge.html).
func (b *treeBuilder) merge(n *node, y *yaml.Node, depth int) {
	source := b.build(y, depth+1)
	parts := []*node{source}
	if source.kind == arrayNode {
		parts = source.items
	}
	for _, part := range parts {
		if part.kind != objectNode {
			if !part.faulty {
				b.fault(y, "write <<: *name, of an anchor &name on a mapping", "<< merges mappings, and this is none")
			}
			continue
		}
		for _, m := range part.keys {
			if n.child(m.key) == nil {
				n.add(m)
			}
		}
	}
}
