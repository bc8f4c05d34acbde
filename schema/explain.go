package schema

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

func validate(schema *jsonschema.Schema, doc any) []Problem {
	err := schema.Validate(doc)
	var invalid *jsonschema.ValidationError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &invalid):
		return []Problem{{Message: "the document cannot be checked: " + err.Error()}}
	}
	e := explainer{raw: compiled().raw, doc: doc}
	e.walk(invalid)
	slices.SortStableFunc(e.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Message, b.Message))
	})
	return e.problems
}

// explainer turns the validator's tree of failed keywords into problems. It
// never shows the validator's own words: it reads the keyword's value from the
// schema and the offending value from the document.
type explainer struct {
	raw, doc any
	problems []Problem
}

func (e *explainer) walk(v *jsonschema.ValidationError) {
	path := tokens(v.AbsoluteKeywordLocation[strings.IndexByte(v.AbsoluteKeywordLocation, '#')+1:])
	keyword := ""
	if len(path) > 0 {
		keyword = path[len(path)-1]
	}
	// The branches of oneOf are alternatives: each one's failure says nothing.
	if keyword != "oneOf" && len(v.Causes) > 0 {
		for _, cause := range v.Causes {
			e.walk(cause)
		}
		return
	}
	if keyword == "" {
		return
	}
	instance := tokens(v.InstanceLocation)
	f := fault{
		keyword: keyword,
		limit:   lookup(e.raw, path),
		value:   lookup(e.doc, instance),
		name:    label(instance),
		pointer: pointer(instance),
	}
	f.schema, _ = lookup(e.raw, path[:len(path)-1]).(map[string]any)
	f.secret, _ = f.schema["writeOnly"].(bool)
	e.problems = append(e.problems, f.problems()...)
}

// fault is one keyword that a value fails.
type fault struct {
	keyword string
	limit   any            // the keyword's value
	schema  map[string]any // the schema that holds the keyword
	value   any            // the offending value
	name    string         // how messages call it
	pointer string
	secret  bool // the value may be a password that stands in the wrong place
}

func (f fault) problems() []Problem {
	switch f.keyword {
	case "additionalProperties":
		return f.unknownKeys()
	case "required":
		return f.missingKeys()
	case "enum":
		known := texts(f.limit)
		return f.say(known, "must be %s, not %s", oneOf(known), f.shown())
	case "type":
		return f.wrongType()
	case "const":
		return f.say(nil, "must be %s, not %s", show(f.limit), f.shown())
	case "pattern":
		return f.say(nil, "must be %s, not %s", f.schema["patternErrorMessage"], f.shown())
	case "oneOf":
		return f.choice()
	case "minimum":
		return f.say(nil, "must be %s or more, not %s", show(f.limit), f.shown())
	case "maximum":
		return f.say(nil, "must be %s or less, not %s", show(f.limit), f.shown())
	case "minLength":
		return f.say(nil, "must not be empty")
	case "maxLength":
		return f.say(nil, "must hold at most %s characters", show(f.limit))
	case "minItems":
		return f.say(nil, "must not be an empty list; leave it out, or name something")
	}
	return f.say(nil, "is not valid")
}

// wrongType says what kind of value is wanted, and how YAML writes it when
// only the quotes are wrong.
func (f fault) wrongType() []Problem {
	types := texts(f.limit)
	var known []string
	if slices.Equal(types, []string{"boolean"}) {
		known = []string{"true", "false"}
	}
	advice := ""
	text, isText := f.value.(string)
	switch _, err := strconv.Atoi(text); {
	case f.value == nil && slices.Contains(types, "array"):
		advice = ": write [] for none, or remove the key"
	case f.value == nil:
		advice = ": give it a value, or remove the key"
	case isText && err == nil && slices.Contains(types, "integer"):
		advice = ": write it without quotes"
	case !isText && slices.Contains(types, "string") && isScalar(f.value):
		advice = ": write it in quotes"
	}
	return f.say(known, "must be %s, not %s%s", oneOf(typeNames(types)), f.shown(), advice)
}

func (f fault) say(known []string, format string, args ...any) []Problem {
	return []Problem{{
		Pointer: f.pointer,
		Message: f.name + " " + fmt.Sprintf(format, args...),
		Known:   known,
		Secret:  f.secret,
	}}
}

// shown is the offending value as the message quotes it.
func (f fault) shown() string {
	if f.secret {
		return "what stands here"
	}
	return show(f.value)
}

// unknownKeys names each key that the object must not have.
func (f fault) unknownKeys() []Problem {
	object, _ := f.value.(map[string]any)
	properties, _ := f.schema["properties"].(map[string]any)
	known := slices.Sorted(maps.Keys(properties))
	var out []Problem
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if _, found := properties[key]; found || f.matchesPattern(key) {
			continue
		}
		message := fmt.Sprintf("unknown key %q in %s", key, f.name)
		if want, found := f.schema["errorMessage"]; found {
			message = fmt.Sprintf("%q in %s is not %s", key, f.name, want)
		}
		out = append(out, Problem{Pointer: f.pointer, Message: message, Key: key, Known: known})
	}
	return out
}

func (f fault) matchesPattern(key string) bool {
	patterns, _ := f.schema["patternProperties"].(map[string]any)
	for pattern := range patterns {
		if regexp.MustCompile(pattern).MatchString(key) {
			return true
		}
	}
	return false
}

func (f fault) missingKeys() []Problem {
	object, _ := f.value.(map[string]any)
	var out []Problem
	for _, key := range texts(f.limit) {
		if _, found := object[key]; !found {
			out = append(out, Problem{Pointer: f.pointer, Message: fmt.Sprintf("%s lacks the key %q", f.name, key), Key: key})
		}
	}
	return out
}

// choice explains a oneOf, which the schema uses only for "exactly one of
// these keys".
func (f fault) choice() []Problem {
	object, _ := f.value.(map[string]any)
	var keys, given []string
	branches, _ := f.limit.([]any)
	for _, branch := range branches {
		required, _ := branch.(map[string]any)
		for _, key := range texts(required["required"]) {
			keys = append(keys, key)
			if _, found := object[key]; found {
				given = append(given, key)
			}
		}
	}
	have := "it has none"
	if len(given) > 0 {
		have = "it has " + strings.Join(given, " and ")
	}
	return f.say(nil, "needs exactly one of %s; %s", strings.Join(keys, ", "), have)
}

// label names a value by the end of its path: port, or devices[0].
func label(path []string) string {
	name := ""
	for i := len(path) - 1; i >= 0; i-- {
		if _, err := strconv.Atoi(path[i]); err != nil {
			return path[i] + name
		}
		name = "[" + path[i] + "]" + name
	}
	if name == "" {
		return "the file"
	}
	return name
}

// show is a value as a message quotes it.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "empty"
	case string:
		if len(v) > 80 {
			v = v[:77] + "..."
		}
		return fmt.Sprintf("the text %q", strings.ToValidUTF8(v, ""))
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// typeNames says JSON's types as a writer of YAML knows them.
func typeNames(types []string) []string {
	plain := map[string]string{
		"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
		"object": "a mapping", "array": "a list", "null": "null",
	}
	names := make([]string, len(types))
	for i, name := range types {
		names[i] = plain[name]
	}
	return names
}

func isScalar(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// texts is a string, or a list of them, as a list.
func texts(v any) []string {
	var out []string
	switch v := v.(type) {
	case string:
		out = append(out, v)
	case []any:
		for _, item := range v {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// The escapes of a JSON pointer's tokens (RFC 6901, section 3).
var (
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// tokens splits a location of the validator, which is a JSON pointer whose
// tokens are URL-escaped.
func tokens(location string) []string {
	if location == "" {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(location, "/"), "/")
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil {
			part = plain
		}
		parts[i] = unescape.Replace(part)
	}
	return parts
}

func pointer(path []string) string {
	var b strings.Builder
	for _, token := range path {
		b.WriteString("/" + escape.Replace(token))
	}
	return b.String()
}

// lookup follows a path through maps and slices; nil when it leads nowhere.
func lookup(v any, path []string) any {
	for _, token := range path {
		switch at := v.(type) {
		case map[string]any:
			v = at[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}
