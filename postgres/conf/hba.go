package conf

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
)

// mapName is the map of pg_ident.conf that lets the administrators of this
// host in as the admin role.
const mapName = "zreconcile"

// ruleMark ends our line of pg_hba.conf.
const ruleMark = "  # zreconcile"

// defaultRules stand where the primary's rules did not come with the copy:
// the socket by peer, localhost by password (chapter "Client Authentication").
var defaultRules = []string{
	"local all all peer",
	"host all all 127.0.0.1/32 scram-sha-256",
	"host all all ::1/128 scram-sha-256",
}

// HBA gives pg_hba.conf. Its first line lets this program in, as role and the
// extra roles, over the socket, by peer with the map that Ident writes. Below
// it stand rules, or, when rules is nil, what was there, without what it includes
// from elsewhere; when that is nothing, local peer and localhost by password. Doing
// it again changes nothing.
//
// Names are always quoted, so that all, replication, +group and commas are
// plain names. The one exception cannot be written away: from PostgreSQL 16 on
// a name that begins with a slash is a pattern even in quotes.
func HBA(existing []byte, role string, extraRoles []string, rules []string) []byte {
	roles := []string{quoteRole(role)}
	for _, r := range extraRoles {
		if r != role {
			roles = append(roles, quoteRole(r))
		}
	}
	var out bytes.Buffer
	out.WriteString("local all " + strings.Join(roles, ",") + " peer map=" + mapName + ruleMark + "\n")

	if rules == nil {
		rest := withoutIncludes(withoutOurRule(existing))
		if hasRules(rest) {
			out.Write(rest)
			return out.Bytes()
		}
		rules = defaultRules
	}
	for _, r := range rules {
		out.WriteString(lineBreaks.Replace(r) + "\n")
	}
	return out.Bytes()
}

// HBARole reads the admin role back from the first line that HBA wrote.
func HBARole(b []byte) (role string, ok bool) {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	text := strings.TrimRight(string(first), "\r")
	if !isOurRule(text) {
		return "", false
	}
	fields := strings.TrimPrefix(text, "local all ")
	if !strings.HasPrefix(fields, `"`) {
		return "", false
	}
	role, _ = quotedName(fields[1:])
	return role, role != ""
}

func isOurRule(text string) bool {
	return strings.HasPrefix(text, "local all ") && strings.HasSuffix(text, " peer map="+mapName+ruleMark)
}

func withoutOurRule(b []byte) []byte {
	var out bytes.Buffer
	for l := range bytes.Lines(b) {
		if !isOurRule(strings.TrimRight(string(l), "\r\n")) {
			out.Write(l)
		}
	}
	return out.Bytes()
}

// withoutIncludes comments out what includes a file of the primary's host: where
// it is missing, no rule at all is loaded and the server does not start. What lies
// below the data directory came with the copy. Servers before PostgreSQL 16 know
// no such line ("The pg_hba.conf File" of 16), and take none of two words for
// anything else.
func withoutIncludes(b []byte) []byte {
	var out bytes.Buffer
	for l := range bytes.Lines(b) {
		text := strings.TrimRight(string(l), "\r\n")
		if includesFromElsewhere(text) {
			out.WriteString("#" + text + "  " + mark + reasonInclude + string(l[len(text):]))
			continue
		}
		out.Write(l)
	}
	return out.Bytes()
}

// included is a line that includes something, and what, in quotes or not.
var included = regexp.MustCompile(`^[ \t]*"?(?:include|include_if_exists|include_dir)"?[ \t]+(?:"([^"]+)"|([^ \t"#]+))[ \t]*(?:#.*)?$`)

// includesFromElsewhere: a relative path begins where the including file is.
func includesFromElsewhere(text string) bool {
	m := included.FindStringSubmatch(text)
	return m != nil && !filepath.IsLocal(m[1]+m[2])
}

// hasRules tells whether any line is more than blank or comment.
func hasRules(b []byte) bool {
	for l := range bytes.Lines(b) {
		if text := strings.TrimSpace(string(l)); text != "" && text[0] != '#' {
			return true
		}
	}
	return false
}

// lineBreaks keeps text on its line; white space within quotes counts, so it
// stays otherwise.
var lineBreaks = strings.NewReplacer("\n", " ", "\r", " ", "\x00", "")

// quoteRole writes a name for pg_hba.conf and pg_ident.conf, where a double
// quote is doubled and a line cannot be broken: a line break, which no sane
// name holds, becomes a space and so a name that does not match.
func quoteRole(name string) string {
	return `"` + strings.ReplaceAll(lineBreaks.Replace(name), `"`, `""`) + `"`
}

const (
	identBegin = "# zreconcile begin: who on this host may log in as the admin role"
	identEnd   = "# zreconcile end"
)

// Ident gives pg_ident.conf: first, between markers, the map that HBA's line
// names, with each OS user as each role; then what was there, without what it
// includes from elsewhere. Lines elsewhere that name this map are dropped: a copied
// one would let strangers in. Doing it again changes nothing.
func Ident(existing []byte, osUsers []string, roles []string) []byte {
	var out bytes.Buffer
	out.WriteString(identBegin + "\n")
	for _, user := range osUsers {
		for _, role := range roles {
			out.WriteString(mapName + " " + quoteRole(user) + " " + quoteRole(role) + "\n")
		}
	}
	out.WriteString(identEnd + "\n")

	for l := range bytes.Lines(withoutIncludes(existing)) {
		text := strings.TrimSpace(string(l))
		if text != identBegin && text != identEnd && mapOf(text) != mapName {
			out.Write(l)
		}
	}
	return out.Bytes()
}

// mapOf is the first word of a line of pg_ident.conf, quoted or not.
func mapOf(text string) string {
	if strings.HasPrefix(text, `"`) {
		name, _ := quotedName(text[1:])
		return name
	}
	if end := strings.IndexAny(text, " \t,"); end >= 0 {
		return text[:end]
	}
	return text
}
