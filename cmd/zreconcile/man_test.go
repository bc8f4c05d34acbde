package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"gopkg.in/yaml.v3"

	"github.com/zreconcile/zreconcile/schema"
)

var manDir = flag.String("man", "", "also write the manual pages into this folder, as `make deb` does")

// TestManualPages makes the manual pages from the program and the schema, as the
// reference is made, and lets man render each.
func TestManualPages(t *testing.T) {
	dir := *manDir
	if dir == "" {
		dir = t.TempDir()
	}
	if err := writeManualPages(dir, sourceDate(t)); err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.[15]"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"zreconcile.1", "zreconcile-watch.1", "zreconcile-wal-push.1", "zreconcile-site.5"} {
		if !slices.Contains(pages, filepath.Join(dir, want)) {
			t.Errorf("there is no page %s", want)
		}
	}
	for _, page := range pages {
		if text := rendered(t, page); !strings.Contains(text, "NAME") || !strings.Contains(text, "SEE ALSO") {
			t.Errorf("%s shows no NAME or no SEE ALSO:\n%s", page, text)
		}
	}
	if text := rendered(t, filepath.Join(dir, "zreconcile-plan.1")); !strings.Contains(text, "  2  plan --detailed-exitcode: there are changes\n") {
		t.Errorf("the exit statuses do not stand line by line:\n%s", text)
	}
	if text := rendered(t, filepath.Join(dir, "zreconcile-site.5")); !strings.Contains(text, "standby.primary.passwordFrom.credential") || !strings.Contains(text, "<prefix>-") {
		t.Errorf("a key is missing, or a < became something else:\n%s", text)
	}
}

// sourceDate is the date on the pages: two builds of one commit are the same
// (reproducible-builds.org, SOURCE_DATE_EPOCH).
func sourceDate(t *testing.T) time.Time {
	t.Helper()
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Unix(0, 0).UTC()
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("SOURCE_DATE_EPOCH: %v", err)
	}
	return time.Unix(seconds, 0).UTC()
}

// rendered is a page as man shows it; a warning of groff is an error.
func rendered(t *testing.T, page string) string {
	t.Helper()
	cmd := exec.Command("man", "--warnings", "--local-file", page)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=100", "MANROFFSEQ=", "GROFF_NO_SGR=1", "MAN_KEEP_FORMATTING=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Errorf("man %s: %v\n%s", page, err, stderr.String())
	}
	return stdout.String()
}

func writeManualPages(dir string, date time.Time) error {
	root := newRoot(&program{})
	root.DisableAutoGenTag = true
	root.Long += "\n\nThe site file is described in zreconcile-site(5), the service in zreconcile-watch(1)."
	setLiterals(root)
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: "zreconcile", Manual: "zreconcile"}
	if err := doc.GenManTree(root, header, dir); err != nil {
		return err
	}
	page, err := manualOfSiteFile(date)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "zreconcile-site.5"), page, 0o644)
}

// setLiterals keeps indented lines, such as the table of exit statuses, as they are:
// in Markdown, from which cobra makes the pages, they need four spaces.
func setLiterals(c *cobra.Command) {
	var b strings.Builder
	literal := false
	for line := range strings.Lines(c.Long) {
		indented := strings.HasPrefix(line, "  ")
		if indented != literal {
			b.WriteString("\n")
		}
		if literal = indented; literal {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	c.Long = b.String()
	for _, sub := range c.Commands() {
		setLiterals(sub)
	}
}

// manualOfSiteFile is the reference of the site file as a page of section 5.
func manualOfSiteFile(date time.Time) ([]byte, error) {
	var parsed yaml.Node
	if err := yaml.Unmarshal(schema.Site(), &parsed); err != nil {
		return nil, err
	}
	root := parsed.Content[0]
	var page bytes.Buffer
	fmt.Fprintf(&page, `%% "ZRECONCILE-SITE" "5" "%s" "zreconcile" "zreconcile"
# NAME
zreconcile-site - the site file of zreconcile

# DESCRIPTION
%s

Unknown keys are errors. A key without "required" may be left out. More restores may
stand in files of their own, **site.d/\*.yaml** beside this one, each with the key
**restores** alone. `+"`zreconcile validate`"+` checks a file.

# KEYS
`, date.Format("Jan 2006"), word(root, "description"))
	entry := func(key, kind, about string) {
		fmt.Fprintf(&page, "**%s** (%s)\n: %s\n\n", key, kind, strings.ReplaceAll(about, "<", `\<`))
	}
	(&siteReference{entry, keyword(root, "$defs")}).keys(root, "")
	page.WriteString("# FILES\n**/etc/zreconcile/site.yaml**\n: where every command looks last\n\n" +
		"**/usr/share/zreconcile/site.schema.json**\n: the JSON Schema, for editors\n\n" +
		"# SEE ALSO\n**zreconcile(1)**, **zfsprops(7)**, **zpoolprops(7)**, **systemd.exec(5)**\n")
	return md2man.Render(page.Bytes()), nil
}
