package main

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/zreconcile/zreconcile/reconcile"
)

// The time between two lines about one step where no terminal shows a bar: a
// share of how long it has taken, so that one of ten hours is a page of the log.
const (
	progressEvery = 10 * time.Second // the least
	progressMost  = 5 * time.Minute
	progressShare = 12
)

// progress shows how far the long steps of an apply have come: a bar with rate
// and time left on a terminal, a log line now and then elsewhere. It is also
// the writer of the log, so that a line does not run into the bar.
type progress struct {
	out   stream
	log   *slog.Logger
	clock func() time.Time

	mu    sync.Mutex
	step  string                   // the step that the bar or the last line is about
	total int64                    // bytes of the step; 0 while unknown
	bar   *progressbar.ProgressBar // nil where none stands on the screen
	begun time.Time                // when the first line of the step was written
	said  time.Time                // the same of the last one
}

// Write writes a log line; a bar that stands there gives way to it and is
// drawn again with the next progress.
func (p *progress) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	return p.out.Write(line)
}

// show is the OnProgress of a host.
func (p *progress) show(at reconcile.Progress) {
	if p.out.terminal {
		p.draw(at)
	} else {
		p.say(at)
	}
}

func (p *progress) draw(at reconcile.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	step := at.Kind + " " + at.Name
	if p.step != step {
		p.end()
		p.step, p.total = step, 0
	} else if p.total > 0 && p.bar == nil {
		return // its bar was full
	}
	total := max(at.Total, p.total) // what is left grows under way; a bar never runs backwards
	if p.bar == nil || p.total == 0 && total > 0 {
		p.bar = newBar(p.out, step, total)
	} else if total > p.total {
		p.bar.ChangeMax64(total)
	}
	p.total = total
	_ = p.bar.Set64(at.Done)
	if p.bar.IsFinished() {
		p.end()
	}
}

// newBar is a bar up to total bytes, or a spinner for 0, while nobody knows.
func newBar(w io.Writer, step string, total int64) *progressbar.ProgressBar {
	if total == 0 {
		total = -1
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(printable(step)),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowTotalBytes(true),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionFullWidth(),
		progressbar.OptionUseIECUnits(true),
	)
}

func (p *progress) say(at reconcile.Progress) {
	p.mu.Lock()
	step, now := at.Kind+" "+at.Name, p.clock()
	wait := min(max(now.Sub(p.begun)/progressShare, progressEvery), progressMost)
	due := p.step != step || now.Sub(p.said) >= wait
	if p.step != step {
		p.step, p.begun = step, now
	}
	if due {
		p.said = now
	}
	p.mu.Unlock()
	if !due {
		return
	}
	attrs := []any{"kind", at.Kind, "name", at.Name, "done", size(at.Done)}
	if at.Total > 0 {
		attrs = append(attrs, "total", size(at.Total), "percent", at.Done*100/at.Total)
	}
	p.log.Info("progress", attrs...)
}

// finish takes leave of a bar that still stands.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	p.step = ""
}

func (p *progress) end() {
	if p.bar == nil {
		return
	}
	_ = p.bar.Exit()
	_, _ = io.WriteString(p.out, "\n")
	p.bar = nil
}
