package postgres

import (
	"cmp"
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// UnitOptions are all that the text of a systemd unit depends on.
type UnitOptions struct {
	Description       string
	BinDir, DataDir   string
	LogFile           string // of a server without sd_notify; with it, the journal has the log
	SocketDir         string
	SocketMode        os.FileMode // of a folder below /run/zreconcile; 0: 0755
	User              string
	RequiresMountsFor []string
	OOMScoreAdj       int
	Restart           bool // when it fails
	Notify            bool // the server tells systemd when it is ready
}

// foreverSeconds is how long pg_ctl waits in a unit, whose start has no end: a week.
const foreverSeconds = "604800"

// runtimeRoot is where our own socket folders are; /run is empty after a boot.
const runtimeRoot = "/run/zreconcile/"

// Unit returns the text of the unit (manual pages systemd.service, systemd.exec,
// systemd.unit and systemd.kill; PostgreSQL documentation, "Starting the
// Database Server"). SIGINT is a fast shutdown, and only the postmaster gets it:
// it ends its children in order.
func Unit(o UnitOptions) string {
	mounts := append([]string{o.DataDir}, o.RequiresMountsFor...)
	slices.Sort(mounts)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# Written by zreconcile, which replaces it: put changes into a drop-in.")
	line("[Unit]")
	line("Description=%s", unitText(o.Description))
	line("Documentation=man:postgres(1)")
	line("After=zfs-mount.service network-online.target")
	line("Wants=network-online.target")
	line("RequiresMountsFor=%s", unitWords(slices.Compact(mounts)))
	// A pool that comes late must find the server still trying: RestartSec is the
	// limit. And apply, which starts it as well, is told the server's own words.
	line("StartLimitIntervalSec=0")
	line("")
	line("[Service]")
	o.exec(line)
	line("User=%s", unitText(o.User))
	line("KillMode=mixed")
	line("KillSignal=SIGINT")
	// How long recovery takes after a crash is nobody's to say; one that is ended
	// on the way begins anew (PostgreSQL documentation, "Starting the Database Server").
	line("TimeoutStartSec=infinity")
	line("TimeoutStopSec=300")
	if o.Restart {
		line("Restart=on-failure")
		line("RestartSec=5")
	}
	line("OOMScoreAdjust=%d", o.OOMScoreAdj)
	if o.OOMScoreAdj < 0 { // the postmaster alone is protected
		line("Environment=PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj PG_OOM_ADJUST_VALUE=0")
	}
	if dir, ok := strings.CutPrefix(o.SocketDir, "/run/"); ok && strings.HasPrefix(o.SocketDir, runtimeRoot) {
		line("RuntimeDirectory=%s", unitWords([]string{dir}))
		line("RuntimeDirectoryMode=%04o", cmp.Or(o.SocketMode, 0o755))
		line("RuntimeDirectoryPreserve=yes")
	}
	line("")
	line("[Install]")
	line("WantedBy=multi-user.target")
	return b.String()
}

func (o UnitOptions) exec(line func(string, ...any)) {
	if o.Notify {
		line("Type=notify")
		line("ExecStart=%s", execWords(filepath.Join(o.BinDir, "postgres"), "-D", o.DataDir))
	} else {
		pgCtl := filepath.Join(o.BinDir, "pg_ctl")
		line("Type=forking")
		line("PIDFile=%s", strings.ReplaceAll(filepath.Join(o.DataDir, "postmaster.pid"), "%", "%%"))
		line("ExecStart=%s", execWords(pgCtl, "start", "-D", o.DataDir, "-l", o.LogFile, "-s", "-w", "-t", foreverSeconds))
	}
	line("ExecReload=/bin/kill -HUP $MAINPID")
}

// unitText keeps % from being taken for a specifier.
func unitText(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "%", "%%")
}

// unitWords quotes a list by the rules of systemd.syntax.
func unitWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		word = strings.ReplaceAll(word, "%", "%%")
		if strings.ContainsAny(word, " \t\"'\\") {
			word = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
		}
		quoted[i] = word
	}
	return strings.Join(quoted, " ")
}

// execWords quotes a command line, where also $ is special.
func execWords(words ...string) string {
	return strings.ReplaceAll(unitWords(words), "$", "$$")
}

// NotifiesSystemd tells whether this build of the server tells systemd when it
// is ready (configure --with-systemd): then it imports sd_notify.
func NotifiesSystemd(binDir string) bool {
	f, err := elf.Open(filepath.Join(binDir, "postgres"))
	if err != nil {
		return false
	}
	defer f.Close()
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(symbols, func(s elf.ImportedSymbol) bool { return s.Name == "sd_notify" })
}

// UnitDataDir is the data directory of the server that a unit of ours starts;
// "" is that it starts none. It is the inverse of Unit.
func UnitDataDir(unit string) string {
	for line := range strings.Lines(unit) {
		command, found := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
		if !found {
			continue
		}
		words := splitExec(command)
		if i := slices.Index(words, "-D"); i >= 0 && i+1 < len(words) {
			return words[i+1]
		}
	}
	return ""
}

// splitExec takes apart what execWords wrote.
func splitExec(command string) []string {
	var words []string
	var word strings.Builder
	quoted, inside := false, false
	for i := 0; i < len(command); i++ {
		c := command[i]
		switch {
		case c == '"':
			quoted, inside = !quoted, true
		case c == ' ' && !quoted:
			if inside {
				words = append(words, word.String())
			}
			word.Reset()
			inside = false
		default:
			if strings.IndexByte(`\%$`, c) >= 0 && i+1 < len(command) { // doubled, or a quote escaped
				i++
			}
			word.WriteByte(command[i])
			inside = true
		}
	}
	if inside {
		words = append(words, word.String())
	}
	return words
}
