package reconcile

import (
	"context"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
)

// ensureSlot makes the replication slot that the file names on the primary.
func (h *Host) ensureSlot(ctx context.Context, in *view) (string, error) {
	slot := in.site.Standby.Primary.Slot
	if slot == "" {
		return "", nil
	}
	return slot, postgres.CreateSlot(ctx, h.primary(in.site, in.state.Cluster.Password), slot)
}

// slotDeadline bounds the question to a primary that may be gone: a status must
// not wait for it.
const slotDeadline = 5 * time.Second

// slotRetained is how much WAL the primary keeps for the slot that the file
// names, in bytes: one whose standby is away fills the primary's disk (pitfall
// 23). nil is not known, or no slot.
func (h *Host) slotRetained(ctx context.Context, in *view) *int64 {
	if in.site.Standby == nil || in.site.Standby.Primary.Slot == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, slotDeadline)
	defer cancel()
	password, err := h.password(in.site)
	if err != nil {
		h.Log.Debug("the primary was not asked for the slot", "error", err)
		return nil
	}
	slot, known, err := postgres.ReadSlot(ctx, h.primary(in.site, password), in.site.Standby.Primary.Slot)
	if err != nil || !known || !slot.Exists {
		h.Log.Debug("how much WAL the slot retains is not known", "slot", in.site.Standby.Primary.Slot, "exists", slot.Exists, "error", err)
		return nil
	}
	return &slot.Retained
}
