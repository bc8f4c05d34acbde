package conf

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Names of the files that decide, all in the data directory.
const (
	MainFile    = "postgresql.conf"
	AutoFile    = "postgresql.auto.conf" // ALTER SYSTEM's; the server reads it last
	ManagedFile = "zreconcile.conf"      // ours, included as the last line of MainFile
)

// Rules say what of the primary's files cannot be used on this host.
type Rules struct {
	Disable          []string          // names to comment out; * matches any text, case does not matter
	Unsupported      map[string]string // name in lower case -> why the local server cannot load it, in its own words
	Managed          map[string]bool   // names in lower case that ManagedFile sets
	MissingLibraries map[string]string // library, as PreloadLibraries names it -> why it cannot be loaded
}

// Finding is a line that was taken out, with the reason.
type Finding struct {
	Name   string // empty for a line that is no setting
	Value  string // never a password
	File   string
	Line   int // counted from 1 in the file as it was
	Reason string
}

// includeLine is the last line of postgresql.conf.
const includeLine = "include '" + ManagedFile + "'  " + mark + "settings of the site file; keep this line last"

// minimal stands in for a postgresql.conf that the primary keeps elsewhere
// (Debian's /etc/postgresql), so that the copy has none (pitfall 37).
const minimal = "# The primary keeps its postgresql.conf outside its data directory; this one was written by zreconcile.\n"

// Sanitize makes the copied files fit for this host. What cannot be used is
// commented out in place, with the reason beside it, and listed in found; a
// line about preload libraries is followed by one with those that can be
// loaded. postgresql.conf is written when missing, and always ends with the
// include of ManagedFile, which the caller must write: without it the server
// does not start. Other files are handed on as they are. Doing it
// again changes nothing.
func Sanitize(files map[string][]byte, r Rules) (out map[string][]byte, found []Finding) {
	out = maps.Clone(files)
	if out == nil {
		out = map[string][]byte{}
	}
	if _, ok := out[MainFile]; !ok {
		out[MainFile] = []byte(minimal)
	}
	for _, name := range []string{MainFile, AutoFile} {
		b, ok := out[name]
		if !ok {
			continue
		}
		var f []Finding
		out[name], f = r.sanitizeFile(name, b)
		found = append(found, f...)
	}
	return out, found
}

func (r Rules) sanitizeFile(file string, b []byte) ([]byte, []Finding) {
	var out bytes.Buffer
	var found []Finding
	lines := splitLines(b)
	eol := lineEnding(lines)
	for _, l := range lines {
		if file == MainFile && includesManaged(l.entry) {
			continue // put back as the last line, below
		}
		reason, rest := r.judge(file, l)
		if reason == "" {
			out.WriteString(l.body + l.eol)
			continue
		}
		found = append(found, Finding{l.entry.Name, findingValue(l), file, l.entry.Line, reason})
		out.WriteString(takenOut(l, reason))
		if rest != "" {
			out.WriteString(cmp.Or(l.eol, eol) + rest)
		}
		out.WriteString(l.eol)
	}
	if file == MainFile {
		if n := out.Len(); n > 0 && out.Bytes()[n-1] != '\n' {
			out.WriteString(eol)
		}
		out.WriteString(includeLine + eol)
	}
	return out.Bytes(), found
}

// judge gives the reason why a line cannot stay, or "", and for a list of
// preload libraries the line that follows it.
func (r Rules) judge(file string, l line) (reason, rest string) {
	if l.bad {
		return "syntax error near " + l.near, ""
	}
	e := l.entry
	if e.Name == "" {
		return "", ""
	}
	for _, pattern := range r.Disable {
		if matches(lower(pattern), e.Name) {
			return "disabled by the site file (" + pattern + ")", ""
		}
	}
	if why := hostReason(e); why != "" {
		return why, ""
	}
	if why, ok := r.Unsupported[e.Name]; ok {
		return "this host's server cannot load it: " + why, ""
	}
	if file == AutoFile && r.Managed[e.Name] {
		return "set in " + ManagedFile + ", which ALTER SYSTEM of the primary must not override", ""
	}
	return r.judgeLibraries(e)
}

// judgeLibraries compares a preload list with what is missing here.
func (r Rules) judgeLibraries(e Entry) (reason, rest string) {
	if !isPreload(e.Name) {
		return "", ""
	}
	var loadable, missing, reasons []string
	for _, lib := range SplitLibraries(e.Value) {
		if why, gone := r.MissingLibraries[libraryPath(e.Name, lib)]; gone {
			missing = append(missing, lib)
			reasons = append(reasons, lib+": "+why)
		} else {
			loadable = append(loadable, lib)
		}
	}
	if len(missing) == 0 {
		return "", ""
	}
	// The line is needed even when nothing is left: without it an earlier one would win.
	rest = fmt.Sprintf("%s = %s  %s", e.Name, Quote(joinLibraries(loadable)), mark+"without "+oneLine(strings.Join(missing, ", ")))
	return "missing on this host: " + strings.Join(reasons, "; "), rest
}

// takenOut comments a line out. The primary's own upstream may carry a
// password (pitfall 36), which must not stay in the data directory and its
// snapshots, not even in a comment.
func takenOut(l line, reason string) string {
	if strings.HasPrefix(lower(strings.TrimLeft(l.body, " \t")), "primary_conninfo") && (secret.MatchString(l.body) || secret.MatchString(l.entry.Value)) {
		return commented("primary_conninfo = (not kept: it held a password)", reason)
	}
	return commented(l.body, reason)
}

func findingValue(l line) string {
	if l.bad {
		return withoutSecret(strings.TrimSpace(l.body))
	}
	return withoutSecret(l.entry.Value)
}

func includesManaged(e Entry) bool {
	return e.Include && (e.Value == ManagedFile || e.Value == "./"+ManagedFile)
}

// lineEnding is the file's own: that of its first line, where our include,
// which moves, counts only when nothing else does. A file without one gets \n.
func lineEnding(lines []line) string {
	eol := "\n"
	for _, l := range slices.Backward(lines) {
		if l.eol != "" && includesManaged(l.entry) {
			eol = l.eol
		}
	}
	for _, l := range lines {
		if l.eol != "" && !includesManaged(l.entry) {
			return l.eol
		}
	}
	return eol
}

// matches compares with a pattern in which * stands for any text.
func matches(pattern, name string) bool {
	first, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for i := 0; i <= len(name); i++ {
		if matches(rest, name[i:]) {
			return true
		}
	}
	return false
}

// Flatten makes one complete postgresql.conf without includes, for a clone:
// whatever its data directory carries, the file alone decides (pitfall 28).
// It holds what the server would read from files in its order (postgresql.conf
// with zreconcile.conf in its place, then postgresql.auto.conf), less what
// Sanitize takes out, overlaid by settings.
func Flatten(files map[string][]byte, r Rules, settings []Setting) []byte {
	clean, _ := Sanitize(files, r)
	inherited := Effective(clean[MainFile])
	for name, value := range Effective(clean[ManagedFile]) {
		if !namesCluster[name] {
			inherited[name] = value
		}
	}
	maps.Copy(inherited, Effective(clean[AutoFile]))

	all := make([]Setting, 0, len(inherited)+len(settings))
	for _, name := range slices.Sorted(maps.Keys(inherited)) {
		all = append(all, Setting{Name: name, Value: inherited[name]})
	}
	return Render("Written by zreconcile: the complete settings of this clone.\nChange them in the site file.", append(all, settings...))
}
