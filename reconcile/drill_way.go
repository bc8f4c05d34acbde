package reconcile

import (
	"context"
	"errors"
	"time"
)

// errGaveWay is of a drill that was abandoned for something urgent. It is due
// still.
var errGaveWay = errors.New("it gave way to a restore that a person waits for, and is made again after that")

// wayPoll is how often a drill looks for somebody who waits.
const wayPoll = time.Second

// givingWay ends the context of a drill once an urgent run waits for the lock
// that is held meanwhile: whoever needs a restore at three in the morning must
// not wait for hours of checks.
func (h *Host) givingWay(ctx context.Context, site string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(wayPoll)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if waits, err := h.byteHeld(site, urgentByte); err == nil && waits {
					cancel(errGaveWay)
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
