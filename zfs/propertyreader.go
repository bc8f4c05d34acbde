package zfs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// propertyReader parses `zfs get -Hp -o name,property,value,source` while it is being written. Every
// dataset gives one record a property, in the order asked for. Values may hold tabs and newlines, and
// sources blanks, so a record ends where the next expected one starts. A value that imitates a record
// breaks the order, which is an error: it must not pass for a property of its own.
type propertyReader struct {
	pool       string
	properties []string
	emit       func(name string, values map[string]Value) error

	rest   []byte           // an unfinished line
	record []byte           // the record being read, without name and property
	name   string           // the dataset being read
	next   int              // index of the property after the record being read; 0 before the first
	values map[string]Value // of the dataset being read
	err    error
}

func newPropertyReader(pool string, properties []string, emit func(string, map[string]Value) error) *propertyReader {
	return &propertyReader{pool: pool, properties: properties, emit: emit}
}

// Write takes a piece of output. It never fails, so that the tool is not killed by a closed pipe; Close
// tells what went wrong.
func (r *propertyReader) Write(p []byte) (int, error) {
	n := len(p)
	for r.err == nil {
		at := bytes.IndexByte(p, '\n')
		if at < 0 {
			r.rest = append(r.rest, p...)
			break
		}
		line := p[:at]
		if len(r.rest) > 0 {
			line = append(r.rest, line...)
		}
		r.err = r.line(line)
		r.rest = r.rest[:0]
		p = p[at+1:]
	}
	return n, nil
}

// Close ends the last record and returns the first error.
func (r *propertyReader) Close() error {
	if r.err != nil {
		return r.err
	}
	if len(r.rest) > 0 {
		return fmt.Errorf("zfs get of %s: the output ends within a line: %q", r.pool, r.rest)
	}
	if r.next == 0 {
		return nil
	}
	if err := r.endRecord(); err != nil {
		return err
	}
	if r.next != len(r.properties) {
		return fmt.Errorf("zfs get of %s: the output ends after %d of %d properties of %s", r.pool, r.next, len(r.properties), r.name)
	}
	return r.emit(r.name, r.values)
}

func (r *propertyReader) line(line []byte) error {
	name, property, rest, ok := r.header(line)
	if !ok {
		if r.next == 0 {
			return fmt.Errorf("zfs get of %s: unexpected line %q", r.pool, line)
		}
		r.record = append(append(r.record, '\n'), line...)
		return nil
	}
	if r.next > 0 {
		if err := r.endRecord(); err != nil {
			return err
		}
	}
	if r.next == len(r.properties) {
		if err := r.emit(r.name, r.values); err != nil {
			return err
		}
		r.next = 0
	}
	if r.next == 0 {
		r.name, r.values = string(name), make(map[string]Value, len(r.properties))
	}
	if string(name) != r.name || string(property) != r.properties[r.next] {
		return fmt.Errorf("zfs get of %s: %s of %s where %s of %s was to come; a property value that imitates this output would look so", r.pool, property, name, r.properties[r.next], r.name)
	}
	r.next++
	r.record = append(r.record[:0], rest...)
	return nil
}

// header splits a line that starts a record: a name in the pool and one of the properties asked for.
func (r *propertyReader) header(line []byte) (name, property, rest []byte, ok bool) {
	name, after, _ := bytes.Cut(line, []byte{'\t'})
	if !inPool(name, r.pool) {
		return nil, nil, nil, false
	}
	property, rest, ok = bytes.Cut(after, []byte{'\t'})
	if !ok || !slices.Contains(r.properties, string(property)) {
		return nil, nil, nil, false
	}
	return name, property, rest, true
}

func inPool(name []byte, pool string) bool {
	tail, ok := bytes.CutPrefix(name, []byte(pool))
	return ok && (len(tail) == 0 || tail[0] == '/' || tail[0] == '@' || tail[0] == '#')
}

// endRecord reads "value\tsource" of the property before next.
func (r *propertyReader) endRecord() error {
	property := r.properties[r.next-1]
	at := bytes.LastIndexByte(r.record, '\t')
	if at < 0 {
		return fmt.Errorf("zfs get of %s: no source for %s of %s", r.pool, property, r.name)
	}
	value, source := string(r.record[:at]), string(r.record[at+1:])
	if value == "-" && (source == "-" || source == "none") {
		return nil // it has no such property
	}
	v := Value{Value: value, Source: source}
	if from, ok := strings.CutPrefix(source, "inherited from "); ok {
		v.Source, v.From = "inherited", from
	}
	switch v.Source {
	case "local", "default", "received", "temporary", "inherited", "none":
	case "-":
		v.Source = "none"
	default:
		return fmt.Errorf("zfs get of %s: unknown source %q for %s of %s", r.pool, source, property, r.name)
	}
	r.values[property] = v
	return nil
}
