package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Amcheck compares, in each database, all B-tree indexes with their tables and,
// from PostgreSQL 14 on, looks into all tables (chapter "amcheck"). It needs a
// server that accepts writes, since it creates the extension amcheck where a
// database lacks it. The error is for a check that ctx ended.
func (c *Cluster) Amcheck(ctx context.Context) ([]Finding, error) {
	return c.eachDatabase(ctx, amcheckDatabase)
}

func amcheckDatabase(ctx context.Context, k *checkup) ([]Finding, error) {
	schema, words, err := k.installAmcheck(ctx)
	if err != nil || words != "" {
		return asFindings(k.finding("extension amcheck", words)), err
	}
	found, err := k.eachRelation(ctx, "index", btreeIndexes, func(oid string) ([]string, string, error) {
		words, err := k.exec(ctx, fmt.Sprintf("select %s.bt_index_check(index => %s::regclass, heapallindexed => true)", schema, oid))
		return nil, words, err
	})
	if err != nil {
		return found, err
	}
	heap, words, err := k.texts(ctx, "select proname::text from pg_proc where proname = 'verify_heapam' and pronamespace = $1::text::regnamespace", schema)
	if err != nil || words != "" || len(heap) == 0 {
		return append(found, asFindings(k.finding("extension amcheck", words))...), err
	}
	tables, err := k.eachRelation(ctx, "table", heapTables, func(oid string) ([]string, string, error) {
		return k.texts(ctx, fmt.Sprintf(heapDamage, schema, oid))
	})
	return append(found, tables...), err
}

// heapDamage is what is wrong with the table of an OID: the first fault, and how
// many more there are.
const heapDamage = `select format('block %%s, item %%s: %%s', blkno, coalesce(offnum::text, '?'), msg)
 || case when count(*) over () > 1 then format(' (and %%s more)', count(*) over () - 1) else '' end
from %s.verify_heapam(%s::regclass, check_toast => true) limit 1`

// installAmcheck makes the extension usable and returns its schema, quoted. It
// goes into pg_catalog, as pg_amcheck --install-missing puts it: any other
// schema may be missing.
func (k *checkup) installAmcheck(ctx context.Context) (schema, words string, err error) {
	available, words, err := k.texts(ctx, "select name::text from pg_available_extensions where name = 'amcheck'")
	if err != nil || words != "" {
		return "", words, err
	}
	if len(available) == 0 {
		major := serverMajor(k.conn.PgConn())
		return "", fmt.Sprintf("this host lacks it; install the server's additional modules (Debian: postgresql-%d; Red Hat, from postgresql.org: postgresql%d-contrib)", major, major), nil
	}
	for _, sql := range []string{
		"set default_transaction_read_only = off",
		"create extension if not exists amcheck with schema pg_catalog",
		"alter extension amcheck update", // of a cluster that pg_upgrade brought here
		"set default_transaction_read_only = on",
	} {
		if words, err := k.exec(ctx, sql); err != nil || words != "" {
			return "", words, err
		}
	}
	found, words, err := k.texts(ctx, "select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'amcheck'")
	if err != nil || words != "" || len(found) != 1 {
		return "", words, err
	}
	return found[0], "", nil
}

// btreeIndexes and heapTables are the relations that amcheck can look at, in the
// manner of pg_amcheck: nobody else can see temporary ones.
const (
	btreeIndexes = `select c.oid::text, format('%I.%I', n.nspname, c.relname)
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
where a.amname = 'btree' and c.relkind = 'i' and c.relpersistence <> 't' and i.indisvalid and i.indisready and i.indislive
order by 2`
	heapTables = `select c.oid::text, format('%I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_am a on a.oid = c.relam
where a.amname = 'heap' and c.relkind in ('r', 'm', 't') and c.relpersistence <> 't'
order by 2`
)

// eachRelation asks for each relation of a list what is wrong with it.
func (k *checkup) eachRelation(ctx context.Context, kind, list string, ask func(oid string) (damage []string, words string, err error)) ([]Finding, error) {
	type relation struct{ oid, name string }
	var relations []relation
	words, err := k.asked(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, list)
		if err != nil {
			return err
		}
		var r relation
		relations = nil // of a try that was cut off
		_, err = pgx.ForEachRow(rows, []any{&r.oid, &r.name}, func() error {
			relations = append(relations, r)
			return nil
		})
		return err
	})
	found := asFindings(k.finding("the list of each "+kind, words))
	for _, r := range relations {
		if err != nil || k.gone {
			break
		}
		var damage []string
		damage, words, err = ask(r.oid)
		if words != "" {
			damage = append(damage, words)
		}
		for _, d := range damage {
			found = append(found, k.finding(kind+" "+r.name, d))
		}
	}
	return found, err
}
