// Package schema holds the JSON Schema of site files and says in plain words
// where a document does not follow it.
package schema

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

//go:embed site.schema.json
var site []byte

const (
	siteURL     = "https://github.com/zreconcile/zreconcile/schema/site.schema.json"
	fragmentURL = siteURL + "#/$defs/fragment"
)

// Problem is a place where a document does not follow the schema.
type Problem struct {
	Pointer string   // JSON pointer (RFC 6901) of the offending value; of its object for a key
	Message string   // one line in plain words
	Key     string   // the key, when the fault is that it is unknown or missing
	Known   []string // the keys allowed there, or the values of an enumeration
	Secret  bool     // the value may be a password in the wrong place: do not show its line
}

// Site returns the schema as JSON text, for editors.
func Site() []byte { return bytes.Clone(site) }

// Validate checks a site file: a document of maps, slices, strings, booleans,
// nil, int64 and float64. It returns every problem, sorted by pointer.
func Validate(doc any) []Problem { return validate(compiled().site, doc) }

// ValidateFragment checks a file of site.d in the same way.
func ValidateFragment(doc any) []Problem { return validate(compiled().fragment, doc) }

// schemas are the compiled validators and the schema as data, for messages.
type schemas struct {
	site, fragment *jsonschema.Schema
	raw            any
}

// compiled compiles on first use: most commands of a shell completion never
// need it. The embedded schema is tested, so that a failure is a broken build.
var compiled = sync.OnceValue(func() schemas {
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(siteURL, bytes.NewReader(site)); err != nil {
		panic("schema: the embedded schema is no JSON: " + err.Error())
	}
	var raw any
	if err := json.Unmarshal(site, &raw); err != nil {
		panic("schema: the embedded schema is no JSON: " + err.Error())
	}
	return schemas{
		site:     compiler.MustCompile(siteURL),
		fragment: compiler.MustCompile(fragmentURL),
		raw:      raw,
	}
})
