package spec

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/zreconcile/zreconcile/schema"
)

// Entry is a restore as a person asks for it in one line, in the words of a
// site file: what is empty is left to the defaults of the file.
type Entry struct {
	Name         string      `yaml:"name"`
	Target       EntryTarget `yaml:"target,flow"`
	Dataset      string      `yaml:"dataset,omitempty"` // relative to the pool
	Mountpoint   string      `yaml:"mountpoint,omitempty"`
	Port         int         `yaml:"port"`
	Action       string      `yaml:"action,omitempty"`       // pause, promote
	ExpiresAfter string      `yaml:"expiresAfter,omitempty"` // as ParseDuration reads it
	Grace        string      `yaml:"grace,omitempty"`        // as ParseDuration reads it
	Keep         *bool       `yaml:"keep,omitempty"`
}

// EntryTarget is the target of an Entry; Time is as ParseTime reads it.
type EntryTarget struct {
	Time         string `yaml:"time,omitempty"`
	LSN          string `yaml:"lsn,omitempty"`
	XID          string `yaml:"xid,omitempty"`
	RestorePoint string `yaml:"restorePoint,omitempty"`
	Snapshot     string `yaml:"snapshot,omitempty"`
	Latest       bool   `yaml:"latest,omitempty"`
	Stop         string `yaml:"stop,omitempty"` // before, after
}

// entryKeys are the keys of an Entry in a file.
var entryKeys = []string{"name", "target", "dataset", "mountpoint", "port", "action", "expiresAfter", "grace", "keep"}

const entryHeader = `# Written by zreconcile restore. It may be edited: watch takes that up, or the
# next apply does. To take it out again: zreconcile restore %s --remove
`

// EntryPath is the file of site.d beside the site file that holds the restore
// of this name alone.
func EntryPath(site, name string) string {
	return filepath.Join(filepath.Dir(site), fragmentDir, name+".yaml")
}

// CheckRestoreName tells whether a restore may have this name; one that may is
// fit to be the name of a file.
func CheckRestoreName(name string) error {
	return Entry{Name: name, Target: EntryTarget{Latest: true}, Port: 1}.Check()
}

// Check tells what is wrong with an entry in itself. What it has in common with
// others, such as a dataset, shows in LoadWith only.
func (e Entry) Check() error {
	data, err := e.encode()
	if err != nil {
		return err
	}
	d := &draft{site: &Site{}, root: &node{kind: objectNode}}
	d.restores = d.read(e.Name, data, schema.ValidateFragment).get("restores").list()
	for _, n := range d.restores {
		d.site.Restores = append(d.site.Restores, d.restore(n, restoreDefaults{}))
	}
	d.checkRestores()
	var wrong []error
	for _, p := range d.problems.sorted() {
		text := p.Message
		if p.Hint != "" {
			text += " (" + p.Hint + ")"
		}
		wrong = append(wrong, errors.New(text))
	}
	return errors.Join(wrong...)
}

// File is the content of the file of site.d that holds the entry alone. The
// same entry always gives the same bytes.
func (e Entry) File() ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	data, err := e.encode()
	return append(fmt.Appendf(nil, entryHeader, e.Name), data...), err
}

func (e Entry) encode() ([]byte, error) {
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(map[string][]Entry{"restores": {e}}); err != nil {
		return nil, fmt.Errorf("write the entry of restore %s as YAML: %w", e.Name, err)
	}
	return b.Bytes(), encoder.Close()
}

// ParseEntry reads back a file of site.d that holds one entry. The error names
// the place of what else is in it: an Entry can't say all that a person may
// have added.
func ParseEntry(path string, data []byte) (Entry, error) {
	d := &draft{site: &Site{}}
	root := d.read(path, data, schema.ValidateFragment)
	if problems := d.problems.Errors(); len(problems) > 0 {
		return Entry{}, problems
	}
	list := root.get("restores").list()
	if len(list) == 0 {
		return Entry{}, fmt.Errorf("%s holds no restore", path)
	}
	n, target := list[0], list[0].get("target")
	e := Entry{
		Name: n.get("name").textOr(""),
		Target: EntryTarget{
			Time: target.get("time").textOr(""), LSN: target.get("lsn").textOr(""), XID: target.get("xid").textOr(""),
			RestorePoint: target.get("restorePoint").textOr(""), Snapshot: target.get("snapshot").textOr(""),
			Latest: target.get("latest").boolOr(false), Stop: target.get("stop").textOr(""),
		},
		Dataset: n.get("dataset").textOr(""), Mountpoint: n.get("mountpoint").textOr(""), Port: n.get("port").intOr(0),
		Action: n.get("action").textOr(""), ExpiresAfter: n.get("expiresAfter").textOr(""), Grace: n.get("grace").textOr(""),
	}
	if keep := n.get("keep"); keep.given() {
		value := keep.boolOr(false)
		e.Keep = &value
	}
	if len(list) > 1 {
		return e, &ForeignError{list[1].place(), fmt.Sprintf("the restore %q", list[1].get("name").textOr(""))}
	}
	for _, m := range n.members() {
		if !slices.Contains(entryKeys, m.key) {
			return e, &ForeignError{m.pos, m.key}
		}
	}
	return e, nil
}

// ForeignError says that the file of an entry holds more than an Entry can say.
type ForeignError struct {
	Pos  Pos
	What string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s:%d holds %s", e.Pos.File, e.Pos.Line, e.What)
}

// LoadWith is Load as if a file of site.d held this content, of which nothing
// is written.
func LoadWith(path, fragment string, content []byte) (*Site, Problems, error) {
	files, err := readFiles(path)
	if err != nil {
		return nil, nil, err
	}
	files[fragment] = content
	site, problems := Parse(files, path)
	return site, problems, nil
}
