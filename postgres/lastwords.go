package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

const (
	wordsLines = 20       // how many lines of a log make last words
	wordsBytes = 64 << 10 // how far back they are looked for
)

// logMark is a place in the server's logs: what is written behind it belongs to
// what came after.
type logMark struct {
	at     time.Time
	offset int64 // in LogFile
}

// prepareLog makes LogFile and its folder, the OS user's alone: the server
// writes what its users type there.
func (c *Cluster) prepareLog() error {
	if !filepath.IsAbs(c.LogFile) {
		return fmt.Errorf("the log file %q of the server of %s is not an absolute path", c.LogFile, c.DataDir)
	}
	dir, err := c.User.ownFolder(filepath.Dir(c.LogFile))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(c.LogFile)
	f, err := dir.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return c.User.own(f)
}

func (c *Cluster) markLog() logMark {
	mark := logMark{at: time.Now()}
	if info, err := os.Lstat(c.LogFile); err == nil {
		mark.offset = info.Size()
	}
	return mark
}

// futureLog is the hint that the server leaves in its stderr when the logging
// collector takes over.
var futureLog = regexp.MustCompile(`Future log output will appear in directory "([^"]+)"`)

// lastWords returns what the server said since mark: the lines that tell of
// failure, or else the last lines. Where the logging collector took over, they
// come from the newest file of its folder.
func (c *Cluster) lastWords(mark logMark) string {
	text := c.readLog(c.LogFile, mark.offset)
	if m := futureLog.FindSubmatch(text); m != nil {
		dir := string(m[1])
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.DataDir, dir)
		}
		text = append(text, c.readLog(newestSince(dir, mark.at), 0)...)
	}
	return telling(text)
}

// readLog reads the end of a log from offset on. As root it reads no link and
// nothing that is not the server's own, so that a link planted in a folder of
// the OS user prints no secret of ours.
func (c *Cluster) readLog(path string, offset int64) []byte {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != c.User.UID {
		return nil
	}
	if offset > info.Size() {
		offset = 0 // it was rotated
	}
	offset = max(offset, info.Size()-wordsBytes)
	text, err := io.ReadAll(io.NewSectionReader(f, offset, wordsBytes))
	if err != nil {
		return nil
	}
	return text
}

// newestSince is the file in dir that was last written, if not before t.
func newestSince(dir string, t time.Time) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	newest, at := "", t.Add(-time.Second) // file systems keep coarser times than ours
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.ModTime().After(at) {
			newest, at = filepath.Join(dir, entry.Name()), info.ModTime()
		}
	}
	return newest
}

// tells matches what explains a failed start: the severities, with what follows
// them (PostgreSQL documentation, "Message Severity Levels"), and at severity LOG
// what a configuration file is blamed for, and that somebody ended the server: what
// fails after that fails for that.
var tells = regexp.MustCompile(`received (smart|fast|immediate) shutdown request|\b(FATAL|PANIC|ERROR|HINT|DETAIL)\b|could not|terminated by signal|unrecognized configuration parameter|invalid value for parameter|syntax error in file`)

// refusedLogin are the server's answers to those who ask before it is ready:
// they explain nothing.
var refusedLogin = regexp.MustCompile(`the database system is (starting up|not yet accepting connections|shutting down|not accepting connections)`)

func telling(text []byte) string {
	var all, failing []string
	for line := range bytes.Lines(text) {
		line := strings.TrimRight(strings.ToValidUTF8(string(line), "?"), "\r\n")
		if strings.TrimSpace(line) == "" || refusedLogin.MatchString(line) {
			continue
		}
		all = append(all, line)
		if tells.MatchString(line) {
			failing = append(failing, line)
		}
	}
	if len(failing) > 0 {
		all = failing
	}
	return strings.Join(all[max(0, len(all)-wordsLines):], "\n")
}
