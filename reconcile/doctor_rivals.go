package reconcile

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/conf"
)

// rival is something else on this host that starts a server: on the same data
// directory it would start our standby with other settings, or as a primary.
type rival struct {
	Name    string // such as unit postgresql-15.service
	DataDir string
	Port    int  // 0 is not known
	AtBoot  bool // it starts by itself
	Mend    string
}

// readRivals looks at clusters of Debian's pg_ctlcluster, at units, and at
// Patroni's configuration.
func readRivals(root fs.FS) []rival {
	return slices.Concat(debianClusters(root), serverUnits(root), patroniNodes(root))
}

// debianClusters reads /etc/postgresql/VERSION/NAME (manual page pg_createcluster).
func debianClusters(root fs.FS) []rival {
	files, _ := fs.Glob(root, "etc/postgresql/*/*/postgresql.conf")
	var list []rival
	for _, file := range files {
		content, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		dir := path.Dir(file)
		version, name := path.Base(path.Dir(dir)), path.Base(dir)
		settings := conf.Effective(content)
		port, _ := strconv.Atoi(cmp.Or(settings["port"], "5432"))
		list = append(list, rival{
			Name:    fmt.Sprintf("Debian's cluster %s/%s", version, name),
			DataDir: path.Clean(cmp.Or(settings["data_directory"], "/var/lib/postgresql/"+version+"/"+name)),
			Port:    port, AtBoot: startsByItself(root, dir),
			Mend: fmt.Sprintf("systemctl disable --now postgresql@%s-%s; echo disabled > /%s/start.conf", version, name, dir),
		})
	}
	return list
}

// startsByItself reads start.conf: auto, which is the default, manual or disabled.
func startsByItself(root fs.FS, dir string) bool {
	content, _ := fs.ReadFile(root, dir+"/start.conf")
	for line := range strings.Lines(string(content)) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), "#"); word != "" {
			return strings.TrimSpace(word) == "auto"
		}
	}
	return true
}

// serverUnits finds units that name a data directory: as PGDATA, as Red Hat's
// units and their drop-ins do, or after -D. Ours are left out.
func serverUnits(root fs.FS) []rival {
	var list []rival
	for _, pattern := range []string{
		"etc/systemd/system/*.service", "etc/systemd/system/*.service.d/*.conf",
		"usr/lib/systemd/system/*.service", "usr/lib/systemd/system/*.service.d/*.conf",
	} {
		files, _ := fs.Glob(root, pattern)
		for _, file := range files {
			unit := unitOf(file)
			content, err := fs.ReadFile(root, file)
			if err != nil || strings.HasPrefix(unit, "zreconcile") {
				continue
			}
			for _, dir := range dataDirsOf(string(content)) {
				list = append(list, rival{Name: "unit " + unit, DataDir: dir, AtBoot: wantedAtBoot(root, unit),
					Mend: "systemctl disable --now " + unit})
			}
		}
	}
	return list
}

// unitOf is the unit that a file is about: its own, or that of a drop-in.
func unitOf(file string) string {
	if folder, dropIn := strings.CutSuffix(path.Dir(file), ".d"); dropIn {
		return path.Base(folder)
	}
	return path.Base(file)
}

// dataDirsOf are the directories that the lines of a unit name.
func dataDirsOf(unit string) []string {
	var dirs []string
	for line := range strings.Lines(unit) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\"'=", r) })
		for i, word := range words {
			if (word == "PGDATA" || word == "-D") && i+1 < len(words) && path.IsAbs(words[i+1]) {
				dirs = append(dirs, path.Clean(words[i+1]))
			}
		}
	}
	return dirs
}

func wantedAtBoot(root fs.FS, unit string) bool {
	links, _ := fs.Glob(root, "etc/systemd/system/*.wants/"+unit)
	return len(links) > 0
}

// patroniNodes reads the line data_dir of Patroni's files (its documentation,
// "YAML Configuration Settings").
func patroniNodes(root fs.FS) []rival {
	var list []rival
	for _, pattern := range []string{"etc/patroni.y*ml", "etc/patroni/*.y*ml"} {
		files, _ := fs.Glob(root, pattern)
		for _, file := range files {
			content, _ := fs.ReadFile(root, file)
			for line := range strings.Lines(string(content)) {
				value, found := strings.CutPrefix(strings.TrimSpace(line), "data_dir:")
				if dir := strings.Trim(strings.TrimSpace(value), `"'`); found && path.IsAbs(dir) {
					list = append(list, rival{Name: "Patroni (/" + file + ")", DataDir: path.Clean(dir), AtBoot: true,
						Mend: "systemctl disable --now patroni, or give it another data_dir"})
				}
			}
		}
	}
	return list
}

// examineRivals wants the data directory for this program alone, and its ports free
// at boot.
func examineRivals(p *patient) []DoctorCheck {
	s := p.wanted()
	if s == nil {
		return nil
	}
	ports := map[int]string{s.Port: "the standby"}
	for _, r := range p.site.Restores {
		ports[r.Port] = "restore " + r.Name
	}
	var list []DoctorCheck
	for _, r := range p.host.Rivals {
		switch who := ports[r.Port]; {
		case r.DataDir == path.Clean(s.DataDir) && r.AtBoot:
			list = append(list, fault(fmt.Sprintf("%s starts a server on the same data directory, %s, at boot", r.Name, r.DataDir), r.Mend))
		case r.DataDir == path.Clean(s.DataDir):
			list = append(list, warning(fmt.Sprintf("%s is for the same data directory, %s", r.Name, r.DataDir), r.Mend))
		case r.AtBoot && r.Port != 0 && who != "":
			list = append(list, warning(fmt.Sprintf("%s takes port %d at boot, which %s should have", r.Name, r.Port, who), "choose another port, or: "+r.Mend))
		}
	}
	if list == nil {
		list = one(fine("nothing else on this host starts a server on %s", s.DataDir))
	}
	return list
}
