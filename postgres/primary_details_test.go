package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// TestPrimaryDetails asks as a role that may only replicate, and as one that may
// log in as well.
func TestPrimaryDetails(t *testing.T) {
	ctx := testContext(t)
	c := newServer(t)
	narrow, wide := Primary{Conninfo: c.conninfo("repl"), Password: oddPassword}, Primary{Conninfo: c.conninfo("wide"), Password: "wide"}
	if err := CreateSlot(ctx, narrow, "zrt"); err != nil {
		t.Fatal(err)
	}

	settings, err := narrow.Settings(ctx, "max_wal_senders", "no_such_setting", "data_directory", "fsync")
	if err != nil {
		t.Fatal(err)
	}
	if settings["max_wal_senders"] == "" || settings["fsync"] == "" || len(settings) != 2 {
		t.Errorf("the unknown and the forbidden are left out, and nothing else: %q", settings)
	}
	var refused *PrimaryError
	if _, err := narrow.Details(ctx, "zrt"); !errors.As(err, &refused) || refused.Mend() == "" {
		t.Errorf("who may only replicate: %v", err)
	}
	if _, err := (Primary{Conninfo: c.conninfo("repl"), Password: "no"}).Settings(ctx, "fsync"); !errors.As(err, &refused) || refused.Kind != AuthFailed {
		t.Errorf("a wrong password: %v", err)
	}

	before := time.Now()
	d, err := wide.Details(ctx, "zrt")
	if err != nil {
		t.Fatal(err)
	}
	if d.Time.Before(before) || d.Time.After(time.Now()) || d.WALSenders != 0 || d.Slots != 1 || d.SlotActive || d.Sizes == nil || d.Sizes.Size < 10<<20 {
		t.Errorf("%+v", d)
	}
	if d.SlotStatus != "reserved" && version.SlotWALStatus.In(majorOf(ask[string](t, c, "show server_version"))) {
		t.Errorf("the slot is %q", d.SlotStatus)
	}
	if d, err := wide.Details(ctx, "no_such_slot"); err != nil || d.SlotStatus != "" {
		t.Errorf("a slot that is not there: %+v, %v", d, err)
	}
}
