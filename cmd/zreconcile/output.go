package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// writeJSON writes a result for programs.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (p *program) json() bool { return p.output == "json" }
func (p *program) html() bool { return p.output == "html" }

// view is stdout for a person who thinks in the zone of the site.
func (p *program) view(site *spec.Site, now time.Time) view {
	return view{w: p.stdout, palette: palette(p.stdout.colour), width: p.stdout.width, utf8: p.stdout.utf8, now: now, zone: site.Timezone}
}

// fail ends a run with err. Programs that read JSON get it on stdout, too: the
// problems of an invalid file, or else what blank makes of the message.
func (p *program) fail(err error, blank func(message string) any) error {
	if !p.json() {
		return err
	}
	var invalid *invalidError
	result := blank(err.Error())
	if errors.As(err, &invalid) {
		result = newProblemsJSON(invalid.path, invalid.problems)
	}
	return errors.Join(err, writeJSON(p.stdout, result))
}

// asUser adds to an error what an ordinary user may have to do about it.
func (p *program) asUser(err error) error {
	if p.euid == 0 {
		return err
	}
	return fmt.Errorf("%w (this is an ordinary user, who may not be let at ZFS and the data directory: run it with sudo)", err)
}

// needRoot refuses to begin what only root can end.
func (p *program) needRoot(command string) error {
	if p.euid == 0 {
		return nil
	}
	return fmt.Errorf("%s needs root, for ZFS and to act as the owner of the data directory: run it with sudo; nothing was done", command)
}
