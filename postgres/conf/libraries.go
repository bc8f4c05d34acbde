package conf

import (
	"maps"
	"slices"
	"strings"
)

// isPreload tells the lists of libraries that are loaded without being asked
// for (chapter "Client Connection Defaults", "Shared Library Preloading").
func isPreload(name string) bool {
	switch name {
	case "shared_preload_libraries", "session_preload_libraries", "local_preload_libraries":
		return true
	}
	return false
}

// libraryPath is where the server looks: plain names of
// local_preload_libraries stand for files of the folder plugins.
func libraryPath(parameter, library string) string {
	if parameter == "local_preload_libraries" && !strings.Contains(library, "/") {
		return "$libdir/plugins/" + library
	}
	return library
}

// PreloadLibraries lists, sorted, every library that the files preload, as
// Server.MissingLibraries takes and Rules.MissingLibraries names them.
func PreloadLibraries(files map[string][]byte) []string {
	names := map[string]bool{}
	for _, b := range files {
		entries, _ := Parse(b) // bad lines load nothing
		for _, e := range entries {
			if !isPreload(e.Name) {
				continue
			}
			for _, lib := range SplitLibraries(e.Value) {
				names[libraryPath(e.Name, lib)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// SplitLibraries reads a list of libraries as the server does
// (SplitDirectoriesString): commas between, white space around a name
// dropped, double quotes around a name that holds either, doubled inside.
func SplitLibraries(v string) []string {
	var names []string
	for v = strings.TrimLeft(v, listSpace); v != ""; v = strings.TrimLeft(v, listSpace) {
		var name string
		if v[0] == '"' {
			name, v = quotedName(v[1:])
			_, v, _ = strings.Cut(v, ",") // only white space may stand before the comma
		} else {
			name, v, _ = strings.Cut(v, ",")
			name = strings.TrimRight(name, listSpace)
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

const listSpace = " \t\n\r\f\v"

// quotedName reads up to the closing quote, which may be missing.
func quotedName(s string) (name, rest string) {
	var out strings.Builder
	for {
		part, after, closed := strings.Cut(s, `"`)
		out.WriteString(part)
		if !closed || !strings.HasPrefix(after, `"`) {
			return out.String(), after
		}
		out.WriteByte('"')
		s = after[1:]
	}
}

// joinLibraries undoes SplitLibraries.
func joinLibraries(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		if strings.ContainsAny(n, `,"`+listSpace) {
			n = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
		}
		quoted[i] = n
	}
	return strings.Join(quoted, ", ")
}
