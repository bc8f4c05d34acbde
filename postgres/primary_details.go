package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// Settings shows settings of the primary in a replication connection, for which
// the right to replicate is enough. Those that it does not know, or shows only to
// others, are left out. Errors are of type *PrimaryError.
func (p Primary) Settings(ctx context.Context, names ...string) (map[string]string, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer hangUp(conn)
	values := map[string]string{}
	for _, name := range names {
		row, err := askRow(ctx, conn, "SHOW "+name, 1)
		switch {
		case serverError(err) != nil: // another version, or no right to see it
		case err != nil:
			return nil, primaryError(err)
		default:
			values[name] = row[0]
		}
	}
	return values, nil
}

// PrimaryDetails is what a primary tells only to one who may log in, which a role
// made for replication often may not.
type PrimaryDetails struct {
	Time       time.Time     // its clock
	WALSenders int           // at work, ours included (view pg_stat_replication)
	Slots      int           // replication slots, of all kinds
	SlotActive bool          // the slot asked for: somebody streams from it
	SlotStatus string        // its wal_status, "" where the version has none; lost can't be used any more
	Sizes      *PrimarySizes // nil: the role may not ask for them
}

// Details asks by ordinary SQL; slot "" is none. Errors are of type *PrimaryError.
func (p Primary) Details(ctx context.Context, slot string) (PrimaryDetails, error) {
	conn, err := p.login(ctx)
	if err != nil {
		return PrimaryDetails{}, err
	}
	defer closing(conn)
	var d PrimaryDetails
	err = conn.QueryRow(ctx, "select clock_timestamp(), (select count(*) from pg_stat_replication)::int, (select count(*) from pg_replication_slots)::int").
		Scan(&d.Time, &d.WALSenders, &d.Slots)
	if err != nil {
		return PrimaryDetails{}, primaryError(err)
	}
	if slot != "" {
		status := "null::text"
		if version.SlotWALStatus.In(serverMajor(conn.PgConn())) {
			status = "wal_status"
		}
		var words *string
		err := conn.QueryRow(ctx, "select active, "+status+" from pg_replication_slots where slot_name = $1", slot).Scan(&d.SlotActive, &words)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return PrimaryDetails{}, primaryError(err)
		}
		d.SlotStatus = text(words)
	}
	if sizes, err := p.sizesBySQL(ctx); err == nil {
		d.Sizes = &sizes
	}
	return d, nil
}
