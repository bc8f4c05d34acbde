package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/zreconcile/zreconcile/postgres/version"
	"github.com/zreconcile/zreconcile/postgres/wal"
)

// Slot is a physical replication slot of the primary.
type Slot struct {
	Exists   bool
	Retained int64 // bytes of WAL that the primary keeps from its restart LSN on; 0 while it reserves none
}

// ReadSlot asks the primary for a replication slot of that name. known is false
// when it has no way to tell us: where there is no READ_REPLICATION_SLOT, an
// ordinary login is needed.
func ReadSlot(ctx context.Context, p Primary, name string) (slot Slot, known bool, err error) {
	if err := checkSlotName(name); err != nil {
		return slot, false, err
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return slot, false, err
	}
	defer hangUp(conn)
	if !version.ReadReplicationSlot.In(serverMajor(conn)) {
		return p.selectSlot(ctx, name)
	}
	var primary PrimaryInfo
	if err := primary.identifySystem(ctx, conn); err != nil {
		return slot, false, err
	}
	row, err := askRow(ctx, conn, "READ_REPLICATION_SLOT "+name, 2) // type, restart LSN
	if err != nil {
		return slot, false, primaryError(err)
	}
	slot.Exists = row[0] != ""
	if row[1] == "" {
		return slot, true, nil
	}
	restart, err := wal.ParseLSN(row[1])
	if err != nil {
		return slot, false, primaryError(err)
	}
	slot.Retained = int64(primary.XLogPos - min(primary.XLogPos, restart))
	return slot, true, nil
}

// selectSlot reads the view instead. The position is that of a primary, or of a
// standby that we follow in cascade.
func (p Primary) selectSlot(ctx context.Context, name string) (slot Slot, known bool, err error) {
	ordinary, err := p.login(ctx)
	if err != nil {
		return slot, false, nil
	}
	defer closing(ordinary)
	const position = "case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_flush_lsn() end"
	var retained *int64
	err = ordinary.QueryRow(ctx, "select greatest(0, pg_wal_lsn_diff("+position+", restart_lsn))::bigint"+
		" from pg_replication_slots where slot_name = $1", name).Scan(&retained)
	if errors.Is(err, pgx.ErrNoRows) {
		return slot, true, nil
	}
	if retained != nil {
		slot.Retained = *retained
	}
	slot.Exists = err == nil
	return slot, err == nil, primaryError(err)
}

// CreateSlot makes a physical replication slot that keeps WAL from now on. One
// that exists is success.
func CreateSlot(ctx context.Context, p Primary, name string) error {
	if err := checkSlotName(name); err != nil {
		return err
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	_, err = conn.Exec(ctx, "CREATE_REPLICATION_SLOT "+name+" PHYSICAL RESERVE_WAL").ReadAll()
	if pgErr := serverError(err); pgErr != nil && pgErr.Code == "42710" { // duplicate_object
		return nil
	}
	return primaryError(err)
}

// ErrSlotActive says that a server streams through the slot at this moment.
var ErrSlotActive = errors.New("the replication slot is in use")

// DropSlot removes a replication slot from the primary, unless one streams
// through it: then the error is ErrSlotActive. One that is gone is success.
func DropSlot(ctx context.Context, p Primary, name string) error {
	if err := checkSlotName(name); err != nil {
		return err
	}
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	_, err = conn.Exec(ctx, "DROP_REPLICATION_SLOT "+name).ReadAll() // without WAIT
	if pgErr := serverError(err); pgErr != nil {
		switch pgErr.Code {
		case "42704": // undefined_object
			return nil
		case "55006": // object_in_use
			return fmt.Errorf("%w: %s", ErrSlotActive, pgErr.Message)
		}
	}
	return primaryError(err)
}

// checkSlotName holds names to what PostgreSQL allows (documentation,
// "Replication Slots"), and so to what needs no quoting.
func checkSlotName(name string) error {
	if name == "" || len(name) > 63 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return fmt.Errorf("%q is no name of a replication slot: lower-case letters, digits and underscores, at most 63", name)
	}
	return nil
}
