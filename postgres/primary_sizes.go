package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Sizes tells how much a base backup would copy. It asks by ordinary SQL where
// that is allowed; else it begins a base backup, which announces sizes first,
// and hangs up. That costs the primary a checkpoint.
func (p Primary) Sizes(ctx context.Context) (PrimarySizes, error) {
	if sizes, err := p.sizesBySQL(ctx); err == nil {
		return sizes, nil
	}
	return p.sizesByBackup(ctx)
}

func (p Primary) sizesBySQL(ctx context.Context) (PrimarySizes, error) {
	conn, err := p.login(ctx)
	if err != nil {
		return PrimarySizes{}, err
	}
	defer closing(conn)
	rows, err := conn.Query(ctx, "select oid::text, pg_tablespace_location(oid), pg_tablespace_size(oid) from pg_tablespace order by oid")
	if err != nil {
		return PrimarySizes{}, err
	}
	defer rows.Close()
	var sizes PrimarySizes
	for rows.Next() {
		var t Tablespace
		if err := rows.Scan(&t.OID, &t.Location, &t.Size); err != nil {
			return PrimarySizes{}, err
		}
		sizes.add(t)
	}
	return sizes, rows.Err()
}

// add counts a tablespace; those without a location are in the data directory.
func (s *PrimarySizes) add(t Tablespace) {
	s.Size += t.Size
	if t.Location != "" {
		s.Tablespaces = append(s.Tablespaces, t)
	}
}

// sizesByBackup reads the first two results of BASE_BACKUP: the start position,
// and a row for each tablespace (oid, location, size in kB), where the data
// directory has neither oid nor location.
func (p Primary) sizesByBackup(ctx context.Context) (PrimarySizes, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return PrimarySizes{}, err
	}
	defer func() {
		_ = conn.Conn().Close() // in the midst of a stream there is no polite end
		hangUp(conn)
	}()
	return announcedSizes(ctx, conn, announceCommand(serverMajor(conn)))
}

func announceCommand(major int) string {
	if version.BaseBackupOptionList.In(major) {
		return "BASE_BACKUP (LABEL 'zreconcile asks for sizes', PROGRESS true, CHECKPOINT 'fast', WAIT false)"
	}
	return "BASE_BACKUP LABEL 'zreconcile asks for sizes' PROGRESS FAST NOWAIT"
}

func announcedSizes(ctx context.Context, conn *pgconn.PgConn, command string) (PrimarySizes, error) {
	rows, err := secondResult(conn.Exec(ctx, command))
	if err != nil {
		return PrimarySizes{}, err
	}
	var sizes PrimarySizes
	for _, row := range rows {
		if len(row) < 3 {
			return PrimarySizes{}, primaryError(fmt.Errorf("its answer to BASE_BACKUP has rows of %d columns, and 3 are expected", len(row)))
		}
		kB, err := strconv.ParseInt(row[2], 10, 53)
		if err != nil {
			return PrimarySizes{}, primaryError(fmt.Errorf("its answer to BASE_BACKUP has the size %q", row[2]))
		}
		sizes.add(Tablespace{OID: row[0], Location: row[1], Size: kB << 10})
	}
	return sizes, nil
}

// secondResult reads until the second set of rows is complete, and no further:
// behind it the stream of data begins.
func secondResult(reader *pgconn.MultiResultReader) (rows [][]string, err error) {
	for n := 1; n <= 2; n++ {
		if !reader.NextResult() {
			if err = reader.Close(); err == nil {
				err = fmt.Errorf("its answer to BASE_BACKUP ended after %d results", n-1)
			}
			return nil, primaryError(err)
		}
		rows = nil
		result := reader.ResultReader()
		for result.NextRow() {
			rows = append(rows, rowText(result.Values()))
		}
		if _, err = result.Close(); err != nil {
			return nil, primaryError(err)
		}
	}
	return rows, nil
}
