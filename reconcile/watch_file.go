package reconcile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settle    = 300 * time.Millisecond // an editor's or a deployment's writes come in bursts
	unsettled = 5 * time.Second        // a burst that lasts so long is none
)

// follow watches the paths that the site depends on. One that is not there yet
// shows when its folder changes. The watch of a file ends with the file that it
// was put on, so that one renamed into its place is to be watched anew.
func (w *watching) follow() {
	for _, path := range w.options.Paths() {
		if err := w.files.Add(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.host.Log.Warn("can't watch for changes", "path", path, "error", err)
		}
	}
	w.read = w.versions()
}

// versions tells the files that the site depends on from later ones of the same
// names, for changes that no event told of: a folder above them was replaced,
// or they lie on a file system of another host.
func (w *watching) versions() string {
	var seen strings.Builder
	for _, path := range w.options.Paths() {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			fmt.Fprintln(&seen, path, info.Size(), info.ModTime().UnixNano())
		}
	}
	return seen.String()
}

// concerns is true of an event that may have changed the site: folders are
// watched, too, in which others work as they please.
func (w *watching) concerns(event fsnotify.Event) bool {
	return event.Op != fsnotify.Chmod && w.options.Concerns(event.Name)
}

// settled waits for a burst of writes to end; it is false when ctx ended.
func (w *watching) settled(ctx context.Context) bool {
	quiet, enough := time.NewTimer(settle), time.NewTimer(unsettled)
	defer quiet.Stop()
	defer enough.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case event := <-w.files.Events:
			if w.concerns(event) {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			return true
		case <-enough.C:
			return true
		}
	}
}

// reload is load on behalf of somebody: what failed before is tried at once. It
// is true where there is something to apply.
func (w *watching) reload() bool {
	if !w.load() {
		return false
	}
	w.retry.Reset()
	return true
}

// load reads the file; a broken one leaves the last good one in force, and is
// false.
func (w *watching) load() bool {
	w.loading.Lock()
	defer w.loading.Unlock()
	site, err := w.options.Load()
	w.follow()
	if w.broken = err != nil; w.broken {
		w.status("the site file is broken; the last good one stays in force")
		return false
	}
	w.site.Store(site)
	return true
}
