package main

import (
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/reconcile"
)

// login is who a person connects as; the connection strings of a status leave it open.
type login struct {
	role, database string
	primary        string // how the primary is reached, as a libpq connection string of the same kind
}

// of is the login as the role that the status found, where it found one.
func (l login) of(role string) login {
	if role != "" {
		l.role = role
	}
	return l
}

func showRestores(v view, restores []reconcile.RestoreStatus, as login) {
	v.printf("\nrestores: %d\n", len(restores))
	for _, r := range restores {
		showRestore(v, r, as)
	}
}

func showRestore(v view, r reconcile.RestoreStatus, as login) {
	state := restoreState(r)
	v.printf("  %s: %s\n", v.strong(printable(r.Name)), v.toned(state.Tone, state.Text))
	if r.Why != "" {
		v.printf("%s", indented("    ", r.Why))
	}
	showFacts(v, "    ", restoreFacts(v, r, as))
}

// restoreFacts tell where a restore stands, between which two transactions that
// is, how long it stays, and how it is used.
func restoreFacts(v view, r reconcile.RestoreStatus, as login) []fact {
	var list []fact
	add := func(name, value string) { list = append(list, fact{Name: name, Value: value}) }
	if r.Snapshot != "" {
		add("from", printable(r.Snapshot))
	}
	if r.Reached != nil {
		add("reached", reached(v, *r.Reached))
	}
	if r.LastIn != nil {
		add("last in", transaction(*r.LastIn))
	}
	if r.FirstOut != nil {
		add("first out", transaction(*r.FirstOut))
	}
	if r.ExpiresAt != nil {
		add("expires", v.moment(r.ExpiresAt.Time)+away(r.ExpiresAt.Sub(v.now)))
	}
	if r.DestroyedAt != nil {
		add("destroyed", v.moment(r.DestroyedAt.Time)+away(r.DestroyedAt.Sub(v.now)))
	}
	if r.Connect == "" {
		return list
	}
	list = append(list, fact{Name: "connect", Value: psql(r.Connect, as.of(r.Role)), Command: true})
	if as.primary != "" {
		list = append(list, fact{Name: "bring back", Value: bringBack(r.Connect, as.of(r.Role)), Command: true,
			Hint: "for TABLE, its name; where the table is still there, add --clean --if-exists to pg_dump, which drops it first"})
	}
	return list
}

// transaction is one in full: people compare its time with their target.
func transaction(t reconcile.Transaction) string {
	return "transaction " + strconv.FormatUint(uint64(t.XID), 10) + " of " + t.Time.String() + ", at " + orUnknown(lsn(t.LSN))
}

func restoreState(r reconcile.RestoreStatus) words {
	state := printable(r.State)
	if r.Promoted {
		state += ", promoted"
	}
	switch r.State {
	case "running":
		return words{state, toneGood}
	case "failed", "refused":
		return words{state, toneBad}
	default:
		return words{state, toneWarn}
	}
}

func reached(v view, m reconcile.Moment) string {
	text := orUnknown(lsn(m.LSN))
	if m.Time != nil {
		text += ", last commit " + v.moment(m.Time.Time)
	}
	return text
}

// psql is the complete command that connects: the string of a status, and who as.
func psql(connect string, as login) string { return "psql " + as.to(connect) }

// bringBack is the complete command that copies a table from a restore to the
// primary, where the superuser goes by the same name: all of it or nothing. psql
// takes the end of what it reads for the end of the rows, so it commits only
// where pg_dump came to its end. It drops nothing: what was dropped is not there.
func bringBack(connect string, as login) string {
	return "{ echo 'BEGIN;'; pg_dump --table=TABLE " + as.to(connect) + " && echo 'COMMIT;'; } | " +
		"psql --no-psqlrc --set=ON_ERROR_STOP=1 " + as.to(as.primary)
}

// to is a connection string with who connects, quoted for a shell.
func (l login) to(connect string) string {
	conninfo := connect + " user=" + conninfoValue(l.role) + " dbname=" + conninfoValue(l.database)
	return "'" + strings.ReplaceAll(printable(conninfo), "'", `'\''`) + "'"
}

// conninfoValue quotes a value by libpq's rules (chapter "libpq", section
// "Connection Strings").
func conninfoValue(value string) string {
	if value != "" && !strings.ContainsAny(value, " '\\\t\n") {
		return value
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
