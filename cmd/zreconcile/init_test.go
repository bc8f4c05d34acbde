package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zreconcile/zreconcile/reconcile"
)

// What a person should look at goes to stderr, the file to stdout or to its place.
func TestInitWritesTheFile(t *testing.T) {
	h := &recorder{draft: reconcile.Draft{Format: 1, Site: "s", YAML: "version: 1\n", Converged: true, Notes: []string{"look at that"}, Pending: []reconcile.Change{}}}
	if _, stdout, stderr := invoke(t, h, "init"); stdout != "version: 1\n" || !strings.Contains(stderr, "Note: look at that") {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
	path := filepath.Join(t.TempDir(), "new", "site.yaml")
	status, stdout, _ := invoke(t, h, "init", "-f", path)
	content, err := os.ReadFile(path)
	if err != nil || status != exitDone || string(content) != "version: 1\n" || stdout != "wrote "+path+"\n" {
		t.Errorf("status %d, %q, content %q, %v", status, stdout, content, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("files are left: %v", left)
	}
	if last := h.asked[len(h.asked)-1]; !strings.Contains(last, "File:"+path) {
		t.Errorf("asked %s", last)
	}
	if status, _, stderr := invoke(t, h, "init", "-f", path); status != exitBlocked || !strings.Contains(stderr, path+" is there already") {
		t.Errorf("a second time: status %d, %s", status, stderr)
	}
	// Somebody who was quicker keeps what is theirs.
	if err := writeNew(path, []byte("other")); err == nil || exitStatus(err) != exitBlocked {
		t.Errorf("over a file that came meanwhile: %v", err)
	}
	if content, _ := os.ReadFile(path); string(content) != "version: 1\n" {
		t.Errorf("the file holds %q", content)
	}
	_, stdout, _ = invoke(t, h, "init", "-o", "json", "-f", filepath.Join(t.TempDir(), "x.yaml"))
	var draft map[string]any
	if err := json.Unmarshal([]byte(stdout), &draft); err != nil || draft["format"] != 1.0 || draft["yaml"] != "version: 1\n" || draft["converged"] != true ||
		!strings.HasSuffix(draft["file"].(string), "x.yaml") || len(draft["notes"].([]any)) != 1 {
		t.Errorf("%v: %s", err, stdout)
	}
}
