package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/schema"
)

// The pages of docs/reference are made from the program itself, so that they
// say what it does. After a change of the schema, of a command or of a metric:
//
//	go test ./cmd/zreconcile -run TestReference -update
func TestReference(t *testing.T) {
	for name, write := range map[string]func(*bytes.Buffer) error{
		"site-file.md": referenceOfSiteFile,
		"commands.md":  referenceOfCommands,
		"metrics.md":   referenceOfMetrics,
	} {
		t.Run(name, func(t *testing.T) {
			var page bytes.Buffer
			if err := write(&page); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("..", "..", "docs", "reference", name)
			if *update {
				if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			have, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(have), page.String()); diff != "" {
				t.Errorf("%s is not what the program says; write it anew with -run TestReference -update (-have +want):\n%s", path, diff)
			}
		})
	}
}

// keyword gives the value of a schema's keyword, in the order of the file: JSON
// is YAML, and its nodes keep the order of keys. Nil is none.
func keyword(schema *yaml.Node, name string) *yaml.Node {
	for i := 0; schema != nil && i+1 < len(schema.Content); i += 2 {
		if schema.Content[i].Value == name {
			return schema.Content[i+1]
		}
	}
	return nil
}

func word(schema *yaml.Node, name string) string {
	if n := keyword(schema, name); n != nil {
		return n.Value
	}
	return ""
}

// siteReference walks the schema of site files, and tells of each key.
type siteReference struct {
	tell func(key, kind, about string)
	defs *yaml.Node
}

func referenceOfSiteFile(page *bytes.Buffer) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(schema.Site(), &doc); err != nil {
		return err
	}
	root := doc.Content[0]
	page.WriteString(`# The site file

` + word(root, "description") + `

Unknown keys are errors. A key without "required" may be left out. The file
[examples/site.yaml](../../examples/site.yaml) shows all of them together, and
[examples/production.yaml](../../examples/production.yaml) those that we recommend.
` + "`zreconcile schema`" + ` prints the JSON Schema, for editors; this page is made from it.
More restores may stand in files of their own, ` + "`site.d/*.yaml`" + ` beside this one, each
with the key ` + "`restores`" + ` alone.

| key | value | what it is |
|---|---|---|
`)
	row := func(key, kind, about string) {
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", key, cellText(kind), cellText(about))
	}
	(&siteReference{row, keyword(root, "$defs")}).keys(root, "")
	return nil
}

// keys tells of each key of an object, and of those inside it.
func (r *siteReference) keys(object *yaml.Node, above string) {
	properties, required := keyword(object, "properties"), map[string]bool{}
	if list := keyword(object, "required"); list != nil {
		for _, n := range list.Content {
			required[n.Value] = true
		}
	}
	for i := 0; properties != nil && i+1 < len(properties.Content); i += 2 {
		key, child := above+properties.Content[i].Value, properties.Content[i+1]
		target := r.follow(child)
		about := firstOf(word(child, "description"), word(target, "description"))
		if required[properties.Content[i].Value] {
			about += " **Required.**"
		}
		if d := firstNode(keyword(child, "default"), keyword(target, "default")); d != nil {
			about += " Default: `" + flow(d) + "`."
		}
		if examples := keyword(child, "examples"); examples != nil && len(r.inside(target).Content) == 0 {
			about += " Example: `" + flow(examples.Content[0]) + "`."
		}
		r.tell(key, r.kind(target), about)
		switch items := keyword(target, "items"); {
		case items != nil && keyword(r.follow(items), "properties") != nil:
			r.keys(r.follow(items), key+"[].")
		default:
			r.keys(target, key+".")
		}
	}
}

// follow gives the schema that a $ref names.
func (r *siteReference) follow(schema *yaml.Node) *yaml.Node {
	if ref := word(schema, "$ref"); ref != "" {
		return r.follow(keyword(r.defs, strings.TrimPrefix(ref, "#/$defs/")))
	}
	return schema
}

// inside are the keys of an object or of a list's objects, which have rows of
// their own; empty where there are none.
func (r *siteReference) inside(target *yaml.Node) *yaml.Node {
	if items := keyword(target, "items"); items != nil {
		target = r.follow(items)
	}
	if properties := keyword(target, "properties"); properties != nil {
		return properties
	}
	return &yaml.Node{}
}

// kind says in a word or two what a value is.
func (r *siteReference) kind(target *yaml.Node) string {
	if values := keyword(target, "enum"); values != nil {
		var list []string
		for _, v := range values.Content {
			list = append(list, "`"+v.Value+"`")
		}
		return strings.Join(list, ", ")
	}
	if value := keyword(target, "const"); value != nil {
		return "`" + value.Value + "`"
	}
	switch target {
	case keyword(r.defs, "duration"):
		return "duration"
	case keyword(r.defs, "percentage"):
		return "percentage"
	}
	words := map[string]string{"object": "mapping", "array": "list", "string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
	types := keyword(target, "type")
	if types == nil {
		return ""
	}
	if types.Kind == yaml.ScalarNode {
		return words[types.Value]
	}
	var list []string
	for _, n := range types.Content {
		list = append(list, words[n.Value])
	}
	return strings.Join(list, " or ")
}

// flow writes a value on one line, as a site file may.
func flow(n *yaml.Node) string {
	var text func(*yaml.Node) string
	text = func(n *yaml.Node) string {
		var parts []string
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				parts = append(parts, n.Content[i].Value+": "+text(n.Content[i+1]))
			}
			return "{" + strings.Join(parts, ", ") + "}"
		case yaml.SequenceNode:
			for _, item := range n.Content {
				parts = append(parts, text(item))
			}
			return "[" + strings.Join(parts, ", ") + "]"
		}
		if n.Tag == "!!str" && strings.ContainsAny(n.Value, " *:#") {
			return `"` + n.Value + `"`
		}
		return n.Value
	}
	return text(n)
}

func firstNode(nodes ...*yaml.Node) *yaml.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

func firstOf(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// cellText keeps a bar from ending the cell of a table, and a <name> from being a tag.
func cellText(s string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s) }

func referenceOfCommands(page *bytes.Buffer) error {
	root := newRoot(&program{})
	page.WriteString("# The commands\n\nWhat `zreconcile COMMAND --help` says, on one page; it is made from the program.\n\n```text\n" +
		strings.TrimSpace(exitHelp) + "\n```\n\nFlags of every command:\n\n" + flagTable(root.PersistentFlags()))
	describeCommands(page, root)
	return nil
}

func describeCommands(page *bytes.Buffer, above *cobra.Command) {
	for _, c := range above.Commands() {
		if c.Hidden || c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.Runnable() {
			about := strings.TrimSpace(strings.ReplaceAll(c.Long, strings.TrimSpace(exitHelp), ""))
			fmt.Fprintf(page, "\n## %s\n\n%s.\n", strings.TrimPrefix(c.CommandPath(), above.Root().Name()+" "), c.Short)
			fmt.Fprintf(page, "\n```text\n%s\n```\n", c.UseLine())
			if about != "" {
				fmt.Fprintf(page, "\n```text\n%s\n```\n", about)
			}
			if c.Example != "" {
				fmt.Fprintf(page, "\n```sh\n%s\n```\n", strings.TrimRight(c.Example, "\n"))
			}
			if table := flagTable(c.LocalNonPersistentFlags()); table != "" {
				page.WriteString("\n" + table)
			}
		}
		describeCommands(page, c)
	}
}

// flagTable lists flags; "" is none.
func flagTable(flags *pflag.FlagSet) string {
	var rows strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&rows, "| `%s` | %s |\n", strings.TrimSpace(strings.ReplaceAll(name+" "+kind, "|", `\|`)), cellText(usage))
	})
	if rows.Len() == 0 {
		return ""
	}
	return "| flag | does |\n|---|---|\n" + rows.String()
}

func referenceOfMetrics(page *bytes.Buffer) error {
	page.WriteString("# The metrics\n\nWhat `zreconcile watch --metrics :19187` serves at `/metrics`; the page is made from the program.\n" +
		"What is not known at the moment is left out of a scrape: no alert takes a guess for a fact.\n" +
		"Rules for them are in [examples/prometheus](../../examples/prometheus/alerts.yaml), and a dashboard is in\n" +
		"[examples/grafana](../../examples/grafana/zreconcile.json).\n\n| metric | labels | is |\n|---|---|---|\n")
	metrics, err := allMetrics()
	if err != nil {
		return err
	}
	for _, m := range metrics {
		labels := ""
		if m.labels != "" {
			labels = "`" + m.labels + "`"
		}
		fmt.Fprintf(page, "| `%s` | %s | %s |\n", m.name, labels, cellText(m.help))
	}
	return nil
}

// metricInfo is a metric as its description tells.
type metricInfo struct{ name, help, labels string }

// allMetrics are those that watch serves, by name.
func allMetrics() ([]metricInfo, error) {
	e := newExporter("1.2.3", func() time.Time { return time.Time{} }, &reconcile.Life{})
	descs := make(chan *prometheus.Desc, 100)
	e.registry.Describe(descs)
	close(descs)
	return parseDescs(descs)
}
