package primary

import (
	"errors"
	"sync"
)

// Lender keeps primaries that are made when somebody asks for their kind and
// nobody gave one back. Each is lent to one test at a time: what that does in its
// tables, to its WAL and with its standbys is no other test's.
type Lender struct {
	Make func(Kind) (*Primary, error) // New, but in a test of this

	mu   sync.Mutex
	made []*Primary
	idle []*Primary
}

// Lend gives a primary of the kind, to be given back. What Make left when it failed
// is destroyed.
func (l *Lender) Lend(kind Kind) (*Primary, error) {
	if p := l.takeIdle(kind); p != nil {
		return p, nil
	}
	p, err := l.Make(kind)
	if err != nil {
		return nil, errors.Join(err, p.Destroy())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made = append(l.made, p)
	return p, nil
}

func (l *Lender) takeIdle(kind Kind) *Primary {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range l.idle {
		if p.Kind == kind {
			l.idle = append(l.idle[:i], l.idle[i+1:]...)
			return p
		}
	}
	return nil
}

// GiveBack makes it the next one's.
func (l *Lender) GiveBack(p *Primary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.idle = append(l.idle, p)
}

// Destroy destroys all that were made, given back or not.
func (l *Lender) Destroy() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var problems []error
	for _, p := range l.made {
		problems = append(problems, p.Destroy())
	}
	return errors.Join(problems...)
}
