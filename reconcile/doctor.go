package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/spec"
)

// DoctorLevel is how one check of the doctor ended.
type DoctorLevel string

// The levels of a check.
const (
	DoctorOK      DoctorLevel = "ok"
	DoctorWarning DoctorLevel = "warning" // it works, and will not always
	DoctorFault   DoctorLevel = "fault"   // something does not work, or is about to destroy something
	DoctorUnknown DoctorLevel = "unknown" // it could not be told, mostly for want of a right
)

// DoctorCheck is one answer of the doctor. Mend says what a person can do about
// a warning or a fault; it is never empty there.
type DoctorCheck struct {
	Group string      `json:"group"`
	Name  string      `json:"name"`
	Level DoctorLevel `json:"level"`
	What  string      `json:"what"`
	Mend  string      `json:"mend"`
}

// Diagnosis is what the doctor found, in the order of a person's thinking.
type Diagnosis struct {
	Format  int           `json:"format"`
	Site    string        `json:"site"` // "" without a site file
	Checks  []DoctorCheck `json:"checks"`
	Summary DoctorSummary `json:"summary"`
}

// DoctorSummary counts the checks by level.
type DoctorSummary struct {
	OK      int `json:"ok"`
	Warning int `json:"warning"`
	Fault   int `json:"fault"`
	Unknown int `json:"unknown"`
}

// The groups of checks.
const (
	groupHost    = "host"
	groupZFS     = "zfs"
	groupServer  = "postgresql"
	groupPrimary = "primary"
	groupStandby = "standby"
	groupBoot    = "boot"
)

// examinations are the checks, in order: each a pure function over what was
// observed. One that does not apply returns nothing.
func examinations() []struct {
	group, name string
	check       func(*patient) []DoctorCheck
} {
	return []struct {
		group, name string
		check       func(*patient) []DoctorCheck
	}{
		{groupHost, "root", examineRoot},
		{groupHost, "site file", examineSiteFiles},
		{groupHost, "OS user", examineOSUser},
		{groupHost, "memory", examineMemory},
		{groupHost, "huge pages", examineHugePages},
		{groupHost, "SELinux", examineSELinux},

		{groupZFS, "tools", examineZFSTools},
		{groupZFS, "running", examineZFSRuns},
		{groupZFS, "abilities", examineAbilities},
		{groupZFS, "pool", examinePool},
		{groupZFS, "health", examinePoolHealth},
		{groupZFS, "scrub", examineScrub},
		{groupZFS, "devices", examineDeviceNames},
		{groupZFS, "space", examinePoolSpace},
		{groupZFS, "datasets", examineDatasetSpace},
		{groupZFS, "mounts", examineMounts},

		{groupServer, "programs", examinePrograms},
		{groupServer, "amcheck", examineAmcheck},

		{groupPrimary, "password", examinePassword},
		{groupPrimary, "reachable", examineReachable},
		{groupPrimary, "system identifier", examineSystemID},
		{groupPrimary, "major version", examineMajor},
		{groupPrimary, "WAL level", examineWALLevel},
		{groupPrimary, "WAL senders", examineWALSenders},
		{groupPrimary, "WAL kept", examineWALKept},
		{groupPrimary, "slot", examineSlot},
		{groupPrimary, "size", examineSize},
		{groupPrimary, "tablespaces", examineTablespaces},
		{groupPrimary, "durability", examineDurability},
		{groupPrimary, "checksums", examineChecksums},
		{groupPrimary, "archive_timeout", examineQuietPrimary},
		{groupPrimary, "synchronous commit", examineSynchronous},
		{groupPrimary, "clock", examineClock},
		{groupPrimary, "Patroni", examinePatroniPrimary},

		{groupStandby, "owner", examineOwner},
		{groupStandby, "password file", examinePassfile},
		{groupStandby, "ports", examinePorts},
		{groupStandby, "rivals", examineRivals},
		{groupStandby, "server", examineServer},
		{groupStandby, "streaming", examineStreaming},
		{groupStandby, "settings", examineSettings},
		{groupStandby, "archive", examineArchiveWritable},
		{groupStandby, "archiver", examineArchiver},
		{groupStandby, "collations", examineCollations},

		{groupBoot, "pool", examineImportAtBoot},
		{groupBoot, "units", examineUnits},
	}
}

// Doctor looks at the host, and at the primary, and changes nothing. Without a
// site (nil) it looks at what the host alone can tell.
func (h *Host) Doctor(ctx context.Context, site *spec.Site, now time.Time) Diagnosis {
	return diagnose(h.lookAt(ctx, site, now))
}

// diagnose makes all checks.
func diagnose(p *patient) Diagnosis {
	d := Diagnosis{Format: Format, Checks: []DoctorCheck{}}
	if p.site != nil {
		d.Site = p.site.Name
	}
	for _, e := range examinations() {
		for _, c := range e.check(p) {
			c.Group, c.Name = e.group, e.name
			d.add(c)
		}
	}
	for _, c := range examineObserved(p, d.Checks) {
		c.Group, c.Name = groupHost, "observed"
		d.add(c)
	}
	return d
}

// NoDiagnosis is that of a site whose file could not be read.
func NoDiagnosis(why string) Diagnosis {
	d := Diagnosis{Format: Format, Checks: []DoctorCheck{}}
	c := fault(why, "zreconcile validate shows where")
	c.Group, c.Name = groupHost, "site file"
	d.add(c)
	return d
}

func (d *Diagnosis) add(c DoctorCheck) {
	d.Checks = append(d.Checks, c)
	switch c.Level {
	case DoctorOK:
		d.Summary.OK++
	case DoctorWarning:
		d.Summary.Warning++
	case DoctorFault:
		d.Summary.Fault++
	default:
		d.Summary.Unknown++
	}
}

// examineObserved tells what could not be looked at, but for what another check has
// told already. To an ordinary user that is no fault.
func examineObserved(p *patient, told []DoctorCheck) []DoctorCheck {
	failures := p.failures
	if p.in != nil {
		failures = append(failures, p.in.state.failureTexts()...)
	}
	var list []DoctorCheck
	for _, f := range unique(failures) {
		if alreadyTold(f, told) {
			continue
		}
		c := fault("could not be observed: "+f, "see the words of the program that failed")
		if p.host.EUID != 0 {
			c = unknown("could not be observed: "+f, "run it with sudo")
		}
		list = append(list, c)
	}
	return list
}

func alreadyTold(failure string, told []DoctorCheck) bool {
	for _, c := range told {
		if strings.Contains(c.What, failure) {
			return true
		}
	}
	return false
}

func fine(format string, args ...any) DoctorCheck {
	return DoctorCheck{Level: DoctorOK, What: fmt.Sprintf(format, args...)}
}

func warning(what, mend string) DoctorCheck {
	return DoctorCheck{Level: DoctorWarning, What: what, Mend: mend}
}

func fault(what, mend string) DoctorCheck {
	return DoctorCheck{Level: DoctorFault, What: what, Mend: mend}
}

func unknown(what, mend string) DoctorCheck {
	return DoctorCheck{Level: DoctorUnknown, What: what, Mend: mend}
}

// blockFault is what apply would be blocked by; "" is nothing.
func blockFault(why, mend string) []DoctorCheck {
	if why == "" {
		return nil
	}
	return []DoctorCheck{fault(why, mend)}
}

// one is the answer of a check that has only one.
func one(c DoctorCheck) []DoctorCheck { return []DoctorCheck{c} }
