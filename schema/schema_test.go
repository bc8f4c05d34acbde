package schema

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func decoded(t *testing.T) map[string]any {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal(Site(), &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// walkSchemas calls visit for each schema with its place.
func walkSchemas(schema map[string]any, at string, visit func(at string, schema map[string]any)) {
	visit(at, schema)
	for _, group := range []string{"properties", "patternProperties", "$defs"} {
		children, _ := schema[group].(map[string]any)
		for name, child := range children {
			walkSchemas(child.(map[string]any), at+"/"+group+"/"+name, visit)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		walkSchemas(items, at+"/items", visit)
	}
}

// Editors show the description of the key under the cursor and offer the
// examples; a mistyped key must never pass.
func TestSchemaServesEditors(t *testing.T) {
	walkSchemas(decoded(t), "", func(at string, schema map[string]any) {
		_, isRef := schema["$ref"]
		if _, found := schema["description"]; !found && !isRef {
			t.Errorf("%s has no description", at)
		}
		if schema["type"] == "object" && schema["additionalProperties"] != false {
			t.Errorf("%s lets unknown keys pass", at)
		}
		isKey := strings.Contains(at, "/properties/") && !strings.HasSuffix(at, "/items")
		container := schema["type"] == "object" || at == "/properties/restores" || strings.HasSuffix(at, "fragment/properties/restores")
		if _, found := schema["examples"]; !found && isKey && !container {
			t.Errorf("%s has no example", at)
		}
		if _, hasPattern := schema["pattern"]; hasPattern && schema["patternErrorMessage"] == nil {
			t.Errorf("%s has a pattern and does not say what it means", at)
		}
		if schema["patternProperties"] != nil && schema["errorMessage"] == nil {
			t.Errorf("%s has key patterns and does not say what they mean", at)
		}
	})
}

func TestSiteIsACopy(t *testing.T) {
	Site()[0] = 'x'
	if Site()[0] != '{' {
		t.Error("a caller changed the schema")
	}
}

func TestValidate(t *testing.T) {
	primary := map[string]any{"host": "db", "user": "rep"}
	good := map[string]any{
		"version": int64(1), "site": "s", "pool": map[string]any{"name": "tank"},
		"standby": map[string]any{"dataDir": "/d/pg", "port": int64(5432), "primary": primary},
	}
	if problems := Validate(good); len(problems) > 0 {
		t.Fatalf("a good site: %v", problems)
	}
	bad := map[string]any{
		"version": int64(2), "site": int64(5), "pool": nil, "colour": "blue",
		"standby": map[string]any{
			"dataDir": "pg", "port": 1.5, "prot": int64(1), "supervisor": "sytemd",
			"primary":     map[string]any{"host": []any{}, "passwordFrom": "hunter2"},
			"tablespaces": map[string]any{"/a~b/c": int64(1), "relative": "/x"},
		},
		"restores": []any{map[string]any{"name": "a", "port": int64(0), "target": map[string]any{"xid": int64(1), "latest": true}}},
	}
	got := []string{}
	for _, p := range Validate(bad) {
		got = append(got, p.Pointer+": "+p.Message)
	}
	want := []string{
		`: unknown key "colour" in the file`,
		`/pool: pool must be a mapping, not empty: give it a value, or remove the key`,
		`/restores/0/port: port must be 1 or more, not 0`,
		`/restores/0/target: target needs exactly one of time, lsn, xid, restorePoint, snapshot, latest; it has xid and latest`,
		`/site: site must be text, not 5: write it in quotes`,
		`/standby: unknown key "prot" in standby`,
		`/standby/dataDir: dataDir must be an absolute path, not the text "pg"`,
		`/standby/port: port must be a whole number, not 1.5`,
		`/standby/primary: primary lacks the key "user"`,
		`/standby/primary/host: host must not be an empty list; leave it out, or name something`,
		`/standby/primary/passwordFrom: passwordFrom must be a mapping, not what stands here`,
		`/standby/supervisor: supervisor must be auto, systemd or process, not the text "sytemd"`,
		`/standby/tablespaces: "relative" in tablespaces is not an absolute path on the primary`,
		`/standby/tablespaces/~1a~0b~1c: /a~b/c must be text, not 1: write it in quotes`,
		`/version: version must be 1, not 2`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestKnownKeysAndValues(t *testing.T) {
	problems := Validate(map[string]any{
		"version": int64(1), "site": "s", "pool": map[string]any{"nmae": "x", "name": "tank"},
		"verify": map[string]any{"every": "1d", "amcheck": "yes"},
	})
	if len(problems) != 2 {
		t.Fatalf("problems: %+v", problems)
	}
	if p := problems[0]; p.Key != "nmae" || !slices.Contains(p.Known, "name") || !slices.Contains(p.Known, "keepFree") {
		t.Errorf("unknown key: %+v", p)
	}
	if p := problems[1]; p.Key != "" || !slices.Equal(p.Known, []string{"true", "false"}) {
		t.Errorf("boolean: %+v", p)
	}
}

func TestValidateFragment(t *testing.T) {
	if problems := ValidateFragment(map[string]any{"restores": []any{}}); len(problems) > 0 {
		t.Errorf("a good fragment: %v", problems)
	}
	problems := ValidateFragment(map[string]any{"site": "x"})
	if len(problems) != 2 {
		t.Errorf("a site's key and no restores: %+v", problems)
	}
}

// The words of a message are ours: the validator's would tell of schemas.
func TestMessagesHoldNoJargon(t *testing.T) {
	for _, doc := range []any{nil, true, "x", int64(1), []any{}, map[string]any{}, map[string]any{"restores": []any{nil, "x", map[string]any{}}}} {
		for _, p := range append(Validate(doc), ValidateFragment(doc)...) {
			for _, word := range []string{"schema", "additionalProperties", "oneOf", "expected", "%!", "object", "is not valid"} {
				if strings.Contains(p.Message, word) {
					t.Errorf("%v: %q speaks of %q", doc, p.Message, word)
				}
			}
		}
	}
}

// notKeys are the words before a colon in the reference spec that are no keys
// of ours: names in open maps, and prose.
var notKeys = []string{
	"ashift", "canmount", "recordsize", "atime", "primarycache", "secondarycache", "logbias", "compression", "refquota",
	"shared_buffers", "log_destination", "sslcert", "sslkey", "connect_timeout",
	"default", "never", "spec", "none", "path", "load", "expired",
}

// Every key of the reference, also those in its comments, is in the schema.
func TestReferenceKeysAreInTheSchema(t *testing.T) {
	text, err := os.ReadFile("../examples/site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	walkSchemas(decoded(t), "", func(_ string, schema map[string]any) {
		properties, _ := schema["properties"].(map[string]any)
		for key := range properties {
			known[key] = true
		}
	})
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)(\w+):(?: |$)`).FindAllStringSubmatch(string(text), -1) {
		found[m[1]] = true
		if !known[m[1]] && !slices.Contains(notKeys, m[1]) {
			t.Errorf("the key %s of the reference is not in the schema", m[1])
		}
	}
	between := []string{"withinHourly", "withinDaily", "withinWeekly", "withinMonthly", "withinYearly"} // "withinHourly ... withinYearly"
	for key := range known {
		if !found[key] && !slices.Contains(between, key) {
			t.Errorf("the key %s of the schema is not in the reference", key)
		}
	}
}
