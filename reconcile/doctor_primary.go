package reconcile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/postgres/version"
)

// primaryFacts are what the primary said, or why it said nothing.
type primaryFacts struct {
	PasswordErr string
	Err         string // a sentence about it, such as: does not let us replicate: ...
	Mend        string // of Err
	Info        *postgres.PrimaryInfo
	Settings    map[string]string // nil: they could not be asked for
	Slot        *postgres.Slot    // nil: none is named, or it could not be asked for
	Details     *postgres.PrimaryDetails
	DetailsErr  string
	Ahead       time.Duration // its clock before ours
	Doubt       time.Duration // of Ahead, at most
}

// primaryDeadline bounds all questions to a primary together.
const primaryDeadline = time.Minute

// primarySettings are those that the checks read.
var primarySettings = []string{
	"max_wal_senders", "wal_keep_size", "wal_keep_segments", "max_slot_wal_keep_size", "fsync", "full_page_writes",
	"archive_timeout", "data_checksums", "synchronous_standby_names",
}

// lookAtPrimary asks what the right to replicate is enough for, and then, where
// an ordinary login is allowed, the rest.
func (h *Host) lookAtPrimary(ctx context.Context, p *patient) {
	f := &p.primary
	password, err := h.password(p.site)
	if err != nil {
		f.PasswordErr = err.Error()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, primaryDeadline)
	defer cancel()
	primary := h.primary(p.site, password)
	info, err := postgres.Identify(ctx, primary)
	if err != nil {
		f.Err, f.Mend = "does not let us replicate: "+err.Error(), "check standby.primary"
		var refused *postgres.PrimaryError
		if errors.As(err, &refused) {
			f.Err, f.Mend = fmt.Sprintf("does not let us replicate: %s: %v", refused.Kind, refused.Err), refused.Mend()
			if refused.Kind == postgres.Unreachable { // nobody refused anything
				f.Err = fmt.Sprintf("is unreachable: %v", refused.Err)
			}
		}
		return
	}
	f.Info = &info
	if f.Settings, err = primary.Settings(ctx, primarySettings...); err != nil {
		p.failures = append(p.failures, err.Error())
	}
	name := p.wanted().Primary.Slot
	if name != "" {
		if slot, known, err := postgres.ReadSlot(ctx, primary, name); err != nil {
			p.failures = append(p.failures, err.Error())
		} else if known {
			f.Slot = &slot
		}
	}
	before := h.Clock()
	details, err := primary.Details(ctx, name)
	if err != nil {
		f.DetailsErr = err.Error()
		return
	}
	f.Details = &details
	f.Doubt = h.Clock().Sub(before) / 2
	f.Ahead = details.Time.Sub(before.Add(f.Doubt))
}

func examinePassword(p *patient) []DoctorCheck {
	switch {
	case p.wanted() == nil:
		return nil
	case p.primary.PasswordErr != "" && p.host.EUID != 0:
		return one(unknown(p.primary.PasswordErr, "run it with sudo"))
	case p.primary.PasswordErr != "":
		return one(fault(p.primary.PasswordErr, "write the password where standby.primary.passwordFrom names it, readable by root alone"))
	}
	return one(fine("it can be read"))
}

func examineReachable(p *patient) []DoctorCheck {
	f := p.primary
	switch {
	case p.wanted() == nil || f.PasswordErr != "":
		return nil
	case f.Info == nil:
		return one(fault(fmt.Sprintf("the primary (%s) %s", join(p.wanted().Primary.Hosts), f.Err), f.Mend))
	}
	return one(fine("it answers, and lets us replicate (PostgreSQL %s)", f.Info.Version))
}

func examineSystemID(p *patient) []DoctorCheck {
	info, c := p.primary.Info, p.cluster()
	if info == nil {
		return nil
	}
	switch {
	case c != nil && c.Control != nil && c.Control.SystemID != info.SystemID:
		return one(fault(fmt.Sprintf("the primary's system identifier is %d, that of %s is %d: it is another database", info.SystemID, p.wanted().DataDir, c.Control.SystemID),
			"correct standby.primary; or, to follow this one, stop the standby and move it aside: "+p.in.moveAside("old")))
	case c != nil && c.Control == nil:
		if other, where := foreignSystem(p.in, info.SystemID); other != "" {
			return one(fault(fmt.Sprintf("the primary's system identifier is %d, but this site has %s of %s", info.SystemID, where, other),
				"correct standby.primary, or give the new database a site name and an archive.dir of its own"))
		}
	}
	return one(fine("%d", info.SystemID))
}

func examineMajor(p *patient) []DoctorCheck {
	info := p.primary.Info
	switch {
	case info == nil || p.server.Wanted == 0:
		return nil
	case info.Major < version.Oldest:
		return one(fault(fmt.Sprintf("the primary runs PostgreSQL %d, and %d is the oldest that can be followed", info.Major, version.Oldest), "upgrade the primary"))
	case info.Major != p.server.Wanted:
		return one(fault(fmt.Sprintf("the primary runs PostgreSQL %d, and the cluster in %s is of %d: it can't follow", info.Major, p.wanted().DataDir, p.server.Wanted),
			"after an upgrade of the primary it is copied anew: give it a site name, a dataDir and an archive.dir of its own"))
	case info.Major > version.Newest:
		return one(fault(fmt.Sprintf("the primary runs PostgreSQL %d, and %d is the newest whose WAL this program can read: each restore would be refused", info.Major, version.Newest),
			"install a newer zreconcile"))
	}
	return one(fine("PostgreSQL %d there and here", info.Major))
}

func examineWALLevel(p *patient) []DoctorCheck {
	switch info := p.primary.Info; {
	case info == nil:
		return nil
	case info.WALLevel != "replica" && info.WALLevel != "logical":
		return one(fault(fmt.Sprintf("the primary's wal_level is %s, and a standby needs replica", info.WALLevel), "on the primary: ALTER SYSTEM SET wal_level = replica; and restart it"))
	default:
		return one(fine("wal_level is %s", info.WALLevel))
	}
}

// copyDue is true where the primary is going to be copied.
func (p *patient) copyDue() bool {
	c := p.cluster()
	return c != nil && c.Content != DirCluster && c.Content != DirStranger
}

// examineSize is about a copy that is due; a cluster that is there shows in the
// space of its dataset.
func examineSize(p *patient) []DoctorCheck {
	if p.primary.Info == nil || !p.copyDue() {
		return nil
	}
	if p.primary.Details == nil || p.primary.Details.Sizes == nil {
		return one(unknown("how large the primary is can't be told by its role's rights", "zreconcile plan finds out, at the price of a checkpoint there"))
	}
	if why, mend := spaceBlock(p.in, Primary{PrimaryInfo: *p.primary.Info, PrimarySizes: *p.primary.Details.Sizes}); why != "" {
		return one(fault(why, mend))
	}
	return one(fine("the primary holds %s, which there is room for", size(p.primary.Details.Sizes.Size)))
}

func examineTablespaces(p *patient) []DoctorCheck {
	d := p.primary.Details
	if d == nil || d.Sizes == nil || !p.copyDue() {
		return nil
	}
	var list []DoctorCheck
	for _, t := range d.Sizes.Tablespaces {
		if mapping(p.in, t.Location) == "" {
			list = append(list, fault(fmt.Sprintf("the primary has a tablespace at %s, and the file does not say where it goes", t.Location),
				fmt.Sprintf("standby: tablespaces: {%s: /a/folder/on/a/dataset}", t.Location)))
		}
	}
	if list == nil {
		list = one(fine("each of the primary's tablespaces (%d) has a place here", len(d.Sizes.Tablespaces)))
	}
	return list
}

// examineDurability is about settings with which a crash damages the primary, and a
// standby is damaged alike.
func examineDurability(p *patient) []DoctorCheck {
	s := p.primary.Settings
	if s == nil {
		return nil
	}
	var list []DoctorCheck
	for _, name := range []string{"fsync", "full_page_writes"} {
		if s[name] == "off" {
			list = append(list, warning(fmt.Sprintf("the primary has %s = off: a crash of its host may damage it, and what it sends", name),
				fmt.Sprintf("on the primary: ALTER SYSTEM SET %s = on; SELECT pg_reload_conf()", name)))
		}
	}
	if list == nil {
		list = one(fine("the primary writes what it commits"))
	}
	return list
}

func examineChecksums(p *patient) []DoctorCheck {
	switch p.primary.Settings["data_checksums"] {
	case "":
		return nil
	case "on":
		return one(fine("the primary has data checksums"))
	}
	const mend = "when the primary can be stopped: pg_checksums --enable -D its data directory; until then amcheck and ZFS's own checksums are what there is"
	if p.site.Verify != nil && p.site.Verify.Checksums {
		return one(warning("verify.checksums has nothing to compare: the primary has no data checksums", mend))
	}
	return one(warning("the primary has no data checksums: damage of its disks is copied unseen", mend))
}

// examineQuietPrimary: an unfinished segment is in the live pg_wal alone (pitfall 4).
func examineQuietPrimary(p *patient) []DoctorCheck {
	s := p.primary.Settings
	switch {
	case s == nil || p.site.Archive == nil:
		return nil
	case s["archive_timeout"] == "0":
		return one(fine("archive_timeout is 0 on the primary: of a quiet one, the last minutes are in the standby's pg_wal alone, which restores read as well"))
	}
	return one(fine("a quiet primary ends its segment after %s", s["archive_timeout"]))
}

// examineSynchronous: a primary that waits for this standby stands still without it.
func examineSynchronous(p *patient) []DoctorCheck {
	names := p.primary.Settings["synchronous_standby_names"]
	if names == "" {
		return nil
	}
	own := p.wanted().Primary.ApplicationName
	for word := range strings.FieldsFuncSeq(names, func(r rune) bool { return strings.ContainsRune(" ,()\"", r) }) {
		if word == "*" || strings.EqualFold(word, own) {
			return one(warning(fmt.Sprintf("the primary may wait for this standby at each commit (synchronous_standby_names = %s): while it is away, so is the primary", names),
				fmt.Sprintf("on the primary, leave %s out of synchronous_standby_names, unless that is what you want", own)))
		}
	}
	return one(fine("the primary waits for others, not for this standby"))
}

// clockLimit is how far the clocks may be apart: commit times are the primary's,
// snapshot times ours (pitfall 11).
const clockLimit = 5 * time.Second

// examineClock takes the clock that SQL tells, or else that of the last message
// that the standby got.
func examineClock(p *patient) []DoctorCheck {
	ahead, doubt := p.primary.Ahead, p.primary.Doubt
	if p.primary.Details == nil {
		c := p.cluster()
		if c == nil || c.Status == nil || !c.Status.Connected() || c.Status.PrimaryTime == nil || c.Status.LastMsgReceiptAt == nil {
			if p.primary.Info == nil {
				return nil
			}
			return one(unknown("the primary's clock can't be told by its role's rights", "chronyc tracking, there and here"))
		}
		ahead = c.Status.PrimaryTime.Sub(*c.Status.LastMsgReceiptAt)
	}
	if off := time.Duration(math.Abs(float64(ahead))) - doubt; off > clockLimit {
		direction := "ahead of"
		if ahead < 0 {
			direction = "behind"
		}
		return one(warning(fmt.Sprintf("the primary's clock is %s %s ours: times of commits are its, times of snapshots ours", off.Round(time.Second), direction),
			"set both by NTP: timedatectl set-ntp true"))
	}
	return one(fine("the primary's clock and ours agree"))
}

// number reads a setting that is one; false where it was not told.
func (f primaryFacts) number(setting string) (int, bool) {
	n, err := strconv.Atoi(f.Settings[setting])
	return n, err == nil
}
