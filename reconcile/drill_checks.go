package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/conf"
	"github.com/zreconcile/zreconcile/spec"
)

// look makes the checks of a clone that was recovered and promoted. Those that
// need its server come first, and it is stopped for the last one. An error is
// none of the snapshot's.
func (w *drilling) look(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, w.checkTimeout(), fmt.Errorf("it took longer than %s", w.checkTimeout()))
	defer cancel()
	for _, check := range w.wanted() {
		if err := check(limited); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// wanted are the checks, in order: what this host is (which is only told), then
// what the file asks for.
func (w *drilling) wanted() []func(context.Context) error {
	list := []func(context.Context) error{w.checkLibraries, w.checkCollations}
	if w.checks.Amcheck {
		list = append(list, w.checkAmcheck)
	}
	for _, q := range w.checks.Queries {
		list = append(list, func(ctx context.Context) error { return w.checkQuery(ctx, q) })
	}
	if w.checks.Checksums {
		list = append(list, w.checkChecksums)
	}
	return list
}

// mostFindings bounds what is kept of one check.
const mostFindings = 100

// texts are findings for the outcome; what ended a check is the last of them.
func texts(found []postgres.Finding, err error) []string {
	list := []string{}
	for i, f := range found {
		if i == mostFindings {
			list = append(list, fmt.Sprintf("and %d more", len(found)-i))
			break
		}
		list = append(list, f.String())
	}
	if err != nil {
		list = append(list, err.Error())
	}
	return list
}

// conclude notes a check, which failed where it found or could not do
// something, unless it is only told. Where the host is to blame there is no
// outcome at all.
func (w *drilling) conclude(ctx context.Context, name string, told bool, found []postgres.Finding, err error) error {
	list := texts(found, err)
	if err != nil && (errors.Is(ctx.Err(), context.Canceled) || noVerdict(context.WithoutCancel(ctx), err)) {
		return fmt.Errorf("check %s: %w", name, err)
	}
	w.add(name, told || len(list) == 0, list)
	return nil
}

func (w *drilling) checkAmcheck(ctx context.Context) error {
	found, err := w.server.cluster.Amcheck(ctx)
	return w.conclude(ctx, checkAmcheck, false, found, err)
}

// checkCollations tells of collations that another libc sorted (pitfall 59).
func (w *drilling) checkCollations(ctx context.Context) error {
	found, err := w.server.cluster.Collations(ctx)
	return w.conclude(ctx, checkCollations, true, found, err)
}

// checkLibraries tells of libraries that functions of the cluster are in and
// this host lacks (pitfall 59).
func (w *drilling) checkLibraries(ctx context.Context) error {
	byDatabase, found, err := w.server.cluster.Libraries(ctx)
	if err != nil {
		return w.conclude(ctx, checkLibraries, true, found, err)
	}
	server := conf.Server{BinDir: w.server.cluster.BinDir, Run: w.host.Run, Credential: w.in.state.Server.User.Credential()}
	var databases []string
	for name := range byDatabase {
		databases = append(databases, name)
	}
	sort.Strings(databases)
	for _, name := range databases {
		missing, err := server.MissingLibraries(ctx, byDatabase[name])
		if err != nil {
			return w.conclude(ctx, checkLibraries, true, found, err)
		}
		for _, library := range byDatabase[name] {
			if why, gone := missing[library]; gone {
				found = append(found, postgres.Finding{Database: name, Object: "library " + library, Words: why + ": its functions do not work here"})
			}
		}
	}
	return w.conclude(ctx, checkLibraries, true, found, nil)
}

func (w *drilling) checkQuery(ctx context.Context, q spec.Query) error {
	answer, words, err := w.server.cluster.Answer(ctx, q.Database, q.SQL)
	if err == nil && words == "" && answer != q.Expect {
		words = fmt.Sprintf("it gives %q, not %q", shortened(answer, longestFinding), q.Expect)
	}
	var found []postgres.Finding
	if words != "" {
		found = []postgres.Finding{{Database: q.Database, Words: words}}
	}
	return w.conclude(ctx, "query "+shortened(q.SQL, longestName), false, found, err)
}

// longestName bounds a statement where it stands as a name, in bytes.
const longestName = 80

// checkChecksums stops the server, cleanly, and checks each page.
func (w *drilling) checkChecksums(ctx context.Context) error {
	if err := w.server.service.Stop(ctx); err != nil {
		return w.conclude(ctx, checkChecksums, false, nil, err)
	}
	found, err := w.server.cluster.Checksums(ctx)
	if errors.Is(err, postgres.ErrNoChecksums) {
		w.add(checkChecksums, true, []string{err.Error()})
		return nil
	}
	return w.conclude(ctx, checkChecksums, false, found, err)
}
