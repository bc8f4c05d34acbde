package spec

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/zreconcile/zreconcile/schema"
)

// draft is a site in the making: what was decoded so far, the tree that it
// came from, and what is wrong with it.
type draft struct {
	site     *Site
	root     *node   // of the site file; an empty object when it can't be read
	restores []*node // every restore, in the order of site.Restores
	datasets []*node // every dataset, in the order of site.Datasets
	problems Problems
}

// Parse is Load for files that are in memory, by path: main is the site file,
// the others are those of site.d.
func Parse(files map[string][]byte, main string) (*Site, Problems) {
	paths := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(p string) bool { return p == main })
	d := &draft{site: &Site{File: main, Files: append([]string{main}, paths...)}}
	slices.Sort(d.site.Files)

	d.root = d.read(main, files[main], schema.Validate)
	readable := d.root != nil
	if !readable {
		d.root = &node{kind: objectNode, pos: Pos{File: main, Line: 1, Col: 1}}
	}
	d.restores = append(d.restores, d.root.get("restores").list()...)
	for _, path := range paths {
		fragment := d.read(path, files[path], schema.ValidateFragment)
		d.restores = append(d.restores, fragment.get("restores").list()...)
	}
	if readable {
		d.decode()
		d.check()
	}
	problems := d.problems.sorted()
	quote(problems, files)
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	return d.site, problems
}

const byteOrderMark = "\ufeff"

// read parses one file and checks it against its schema; nil when it is no
// YAML document.
func (d *draft) read(path string, data []byte, validate func(any) []schema.Problem) *node {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	document, problem := parseYAML(path, data)
	if problem != nil {
		d.problems = append(d.problems, *problem)
		return nil
	}
	root, problems := buildTree(path, document)
	d.problems = append(d.problems, problems...)
	if root == nil {
		return nil
	}
	d.checkNewlines(root)
	for _, p := range validate(root.json()) {
		d.schemaProblem(root, p)
	}
	return root
}

// withheld, as the source of a problem, keeps its line out of the report.
const withheld = "\x00"

// schemaProblem places a problem of the schema, and marks the value so that
// no later check speaks of it again.
func (d *draft) schemaProblem(root *node, p schema.Problem) {
	at := root.locate(p.Pointer)
	if at.faulty && p.Key == "" { // a key is a fault of its own: every, mistyped, leaves none of schedule and every
		return
	}
	problem := Problem{Pos: at.place(), Message: p.Message, Hint: suggest(p.Key, p.Known)}
	if p.Key != "" {
		problem.Pos = at.keyAt(p.Key)
	} else {
		at.faulty = true
		problem.Hint = valueHint(at, p.Known)
	}
	if p.Secret || looksSecret(p.Key) {
		problem.Hint, problem.Source = passwordHint, withheld
	}
	d.problems = append(d.problems, problem)
}

const passwordHint = "a password never stands in this file: write passwordFrom: {file: /path} or {env: NAME} under standby.primary"

func looksSecret(key string) bool {
	key = strings.ToLower(key)
	return strings.Contains(key, "password") || strings.Contains(key, "passwd")
}

// valueHint finds the word that was meant by a scalar that is none of the
// known ones. YAML 1.2 knows yes, no, on and off as text.
func valueHint(n *node, known []string) string {
	if slices.Equal(known, []string{"true", "false"}) {
		switch {
		case isYes(n.text):
			return "write true"
		case isNo(n.text):
			return "write false"
		}
	}
	return suggest(n.text, known)
}

// errorf reports an error at a value, unless the schema did so before. A nil
// node stands for the whole file.
func (d *draft) errorf(n *node, hint, format string, args ...any) {
	d.report(n, Problem{Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// warnf reports what is allowed and most likely not meant.
func (d *draft) warnf(n *node, hint, format string, args ...any) {
	d.report(n, Problem{Hint: hint, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (d *draft) report(n *node, p Problem) {
	if n == nil {
		n = d.root
	}
	if n.faulty {
		return
	}
	p.Pos = n.place()
	d.problems = append(d.problems, p)
}

var secretValue = regexp.MustCompile(`(?i)(passw(?:or)?d[a-z_]*["']?[ \t]*[:=][ \t]*)[^{ \t,}#][^,}#]*`)

// quote adds to each problem its line of the file, without a password that
// may stand in it.
func quote(problems Problems, files map[string][]byte) {
	lines := map[string][]string{}
	for path, data := range files {
		if len(data) <= maxFileSize {
			lines[path] = strings.Split(strings.TrimPrefix(string(data), byteOrderMark), "\n")
		}
	}
	for i, p := range problems {
		source := ""
		if of := lines[p.Pos.File]; p.Source != withheld && p.Pos.Line <= len(of) {
			source = strings.ToValidUTF8(strings.TrimRight(of[p.Pos.Line-1], "\r"), "\ufffd")
		}
		problems[i].Source = secretValue.ReplaceAllString(source, "${1}********")
	}
}
