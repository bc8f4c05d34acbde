package postgres

import (
	"context"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Collations tells, of each database, which collations were recorded with
// another version than this host's libraries have: indexes that were built by
// the one sort otherwise than the other and may give wrong answers (pitfall 59;
// chapter "Collation Support"). PostgreSQL records versions of glibc from 13
// on, and that of a database's own collation from 15 on. The error is for a
// check that ctx ended.
func (c *Cluster) Collations(ctx context.Context) ([]Finding, error) {
	return c.eachDatabase(ctx, func(ctx context.Context, k *checkup) ([]Finding, error) {
		list, words, err := k.texts(ctx, collationVersions)
		found := asFindings(k.finding("collations", words))
		if err == nil && k.conn != nil && version.DatabaseCollationVersion.In(serverMajor(k.conn.PgConn())) {
			var own []string
			own, words, err = k.texts(ctx, databaseCollation)
			list = append(own, list...)
			found = append(found, asFindings(k.finding("collations", words))...)
		}
		for _, text := range list {
			found = append(found, k.finding("", text))
		}
		return found, err
	})
}

const (
	databaseCollation = `select format('its own collation was made with version %s, and this host has %s: indexes on text may be out of order (REINDEX)',
 datcollversion, pg_database_collation_actual_version(oid))
from pg_database where datname = current_database() and datcollversion <> pg_database_collation_actual_version(oid)`

	// There are hundreds of collations, and all of a provider have one version.
	collationVersions = `select format('%s collation(s), such as %s, were made with version %s, and this host has %s: indexes that use them may be out of order (REINDEX)',
 count(*), min(collname::text), collversion, actual)
from (select collname, collprovider, collversion, pg_collation_actual_version(oid) as actual from pg_collation) c
where collversion <> actual group by collprovider, collversion, actual order by 1`
)
