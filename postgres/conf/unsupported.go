package conf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Server is the local server's programs, asked what they cannot load. It
// starts no server and touches no data directory.
type Server struct {
	BinDir     string
	Run        func(*exec.Cmd) error // nil means (*exec.Cmd).Run
	Credential *syscall.Credential   // whom the programs run as; nil means the caller
}

// queryTimeout bounds one run of postgres -C or pg_config, which take
// milliseconds.
const queryTimeout = 30 * time.Second

// Unsupported lists the parameters of files that the local server cannot load,
// in lower case, each with the server's own words (pitfall 38). Files of the
// primary's host, which Sanitize takes out anyhow, are left out of the
// question; the words about ManagedFile, when it is among the files, are about
// the site file. An error means that the server could not be asked.
//
// postgres -C reads the files of a directory, reports all unknown parameters at
// once but invalid values only when none is unknown, and never starts. So it is
// asked again, without what it refused, until it is content.
func (s Server) Unsupported(ctx context.Context, files map[string][]byte) (params map[string]string, err error) {
	dir, err := os.MkdirTemp("", "zreconcile-conf-")
	if err != nil {
		return nil, fmt.Errorf("making a folder to check the settings in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := s.show(dir, 0o750); err != nil {
		return nil, err
	}

	params = map[string]string{}
	for {
		clean, _ := Sanitize(files, Rules{Unsupported: params})
		clean[ManagedFile] = CommentOut(clean[ManagedFile], func(e Entry) (string, bool) {
			_, refused := params[e.Name]
			return "refused", refused || e.Include || namesCluster[e.Name]
		})
		if err := s.write(dir, clean); err != nil {
			return nil, err
		}
		words, err := s.ask(ctx, dir)
		if err == nil {
			return params, nil
		}
		refused := refusals(words)
		known := len(params)
		maps.Copy(params, refused)
		if len(params) == known {
			return nil, fmt.Errorf("%s cannot read the copied settings: %w: %s", filepath.Join(s.BinDir, "postgres"), err, lastWords(words, dir))
		}
	}
}

// ask runs postgres -C. The options on the command line are checked in the
// files, too, but not applied from there: they would hide the answer, put
// another prefix before it, or translate it.
func (s Server) ask(ctx context.Context, dir string) (stderr string, err error) {
	_, stderr, err = s.output(ctx, dir, "postgres",
		"-C", "max_connections", // first, so that root may ask, too
		"-D", dir,
		"-c", "log_min_messages=warning",
		"-c", "log_error_verbosity=default",
		"-c", "log_line_prefix=",
		"-c", "lc_messages=C")
	return stderr, err
}

func (s Server) output(ctx context.Context, dir, program string, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.BinDir, program), args...)
	cmd.Dir = dir // the caller's may be closed to the credential's user
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.Credential}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	run := s.Run
	if run == nil {
		run = (*exec.Cmd).Run
	}
	err = run(cmd)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return out.String(), errs.String(), err
}

// write puts the files where postgres -C looks for them, anew each time.
func (s Server) write(dir string, files map[string][]byte) error {
	for _, name := range []string{MainFile, AutoFile, ManagedFile} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, files[name], 0o600); err != nil {
			return fmt.Errorf("copying the settings to check them: %w", err)
		}
		if err := s.show(path, 0o640); err != nil {
			return err
		}
	}
	return nil
}

// show lets the credential's group read, and no more: a folder of that user's
// own could be given links, which the next write would follow.
func (s Server) show(path string, mode os.FileMode) error {
	if s.Credential == nil {
		return nil
	}
	if err := errors.Join(os.Lchown(path, -1, int(s.Credential.Gid)), os.Chmod(path, mode)); err != nil {
		return fmt.Errorf("letting group id %d read the settings to check: %w", s.Credential.Gid, err)
	}
	return nil
}

// refusal finds the parameter in what the server says: unrecognized
// configuration parameter "x", invalid value for parameter "x": "y",
// parameter "x" requires a Boolean value, 99 is outside the valid range for
// parameter "x" (1 .. 2), parameter "x" cannot be changed.
var refusal = regexp.MustCompile(`^(?:LOG|ERROR|FATAL): +(.*\bparameter (?:name )?"([^"]+)".*)$`)

// position is where, in a folder that is gone soon.
var position = regexp.MustCompile(` in file "[^"]*" line \d+`)

// refusals reads stderr of postgres -C: each parameter in lower case, with the
// server's words and its detail or hint.
func refusals(stderr string) map[string]string {
	found := map[string]string{}
	last := ""
	for text := range strings.Lines(stderr) {
		text = strings.TrimRight(text, "\r\n")
		if m := refusal.FindStringSubmatch(text); m != nil {
			last = lower(m[2])
			found[last] = withoutSecret(position.ReplaceAllString(m[1], ""))
			continue
		}
		level, more, _ := strings.Cut(text, ":")
		if last != "" && (level == "DETAIL" || level == "HINT") {
			found[last] += "; " + strings.TrimSpace(more)
			continue
		}
		last = ""
	}
	return found
}

// lastWords is what the server said, without the name of the passing folder.
func lastWords(stderr, dir string) string {
	text := strings.ReplaceAll(strings.TrimSpace(stderr), dir+"/", "")
	if text == "" {
		return "it said nothing"
	}
	return withoutSecret(text)
}

// MissingLibraries tells which of the preload libraries are not on this host:
// name, as given -> where they were looked for. It follows the server's own
// search (chapter "C-Language Functions", "Dynamic Loading"): a plain name is
// looked for in the package library directory, for which $libdir stands.
func (s Server) MissingLibraries(ctx context.Context, names []string) (map[string]string, error) {
	missing := map[string]string{}
	if len(names) == 0 {
		return missing, nil
	}
	dir, err := s.pkglibdir(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		path, there, err := findLibrary(name, dir)
		if err != nil {
			return nil, err
		}
		if !there {
			missing[name] = "no file " + path
		}
	}
	return missing, nil
}

// findLibrary looks for a library; path is the last place looked at.
func findLibrary(name, dir string) (path string, there bool, err error) {
	for _, path = range libraryFiles(name, dir) {
		info, err := os.Stat(path)
		switch {
		case err == nil && info.Mode().IsRegular():
			return path, true, nil
		case err == nil, errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		default:
			return path, false, fmt.Errorf("looking for library %s: %w", name, err)
		}
	}
	return path, false, nil
}

// walReceiver is a library that every server has in its library directory.
const walReceiver = "libpqwalreceiver.so"

// pkglibdir asks pg_config, which distributions ship apart from the server;
// without it, the usual places beside the programs. A folder without the
// server's own library is none: all that it lacks would seem to be missing.
func (s Server) pkglibdir(ctx context.Context) (string, error) {
	binDir := s.BinDir
	if program, err := filepath.EvalSymlinks(filepath.Join(binDir, "postgres")); err == nil {
		binDir = filepath.Dir(program) // programs may be links from a folder of PATH
	}
	var dirs []string
	if _, err := os.Stat(filepath.Join(binDir, "pg_config")); err == nil {
		stdout, stderr, err := Server{BinDir: binDir, Run: s.Run, Credential: s.Credential}.output(ctx, "/", "pg_config", "--pkglibdir")
		if err != nil {
			return "", fmt.Errorf("asking %s for the library directory: %w: %s", filepath.Join(binDir, "pg_config"), err, strings.TrimSpace(stderr))
		}
		dirs = append(dirs, strings.TrimSpace(stdout))
	}
	up := filepath.Dir(filepath.Clean(binDir))
	for _, below := range []string{"lib", "lib64", "lib/postgresql", "lib64/pgsql"} {
		dirs = append(dirs, filepath.Join(up, below))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, walReceiver)); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no library directory of PostgreSQL (one that holds %s) beside %s: install pg_config there, or give the directory of the server's programs as binDir", walReceiver, binDir)
}

// libraryFiles are the paths where a library may be, the likelier one last.
func libraryFiles(name, dir string) []string {
	path := name
	if below, ok := strings.CutPrefix(name, "$libdir/"); ok {
		path = filepath.Join(dir, below)
	} else if !strings.Contains(name, "/") {
		path = filepath.Join(dir, name)
	}
	if strings.HasSuffix(path, ".so") {
		return []string{path}
	}
	return []string{path, path + ".so"}
}
