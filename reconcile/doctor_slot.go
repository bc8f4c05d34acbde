package reconcile

import (
	"fmt"

	"github.com/zreconcile/zreconcile/postgres/version"
)

// examineWALSenders: a standby takes one, a base backup two.
func examineWALSenders(p *patient) []DoctorCheck {
	most, known := p.primary.number("max_wal_senders")
	if !known {
		return nil
	}
	if p.primary.Details == nil {
		return one(unknown(fmt.Sprintf("the primary allows %d WAL senders; how many are at work can't be told by its role's rights: %s", most, p.primary.DetailsErr),
			"SELECT count(*) FROM pg_stat_replication; there"))
	}
	free := most - p.primary.Details.WALSenders
	wanted := 2
	if c := p.cluster(); c != nil && c.Status != nil && c.Status.Connected() {
		wanted = 0 // ours is among them
	}
	what := fmt.Sprintf("%d of the primary's %d WAL senders are free", free, most)
	const mend = "on the primary: raise max_wal_senders, and restart it"
	switch {
	case free < 1 && wanted > 0:
		return one(fault(what+", and this standby needs one", mend))
	case free < wanted:
		return one(warning(what+", and a base backup takes two", mend))
	}
	return one(fine("%s", what))
}

// examineWALKept: without a slot, the primary recycles what a standby that was away
// would need next (pitfall 23).
func examineWALKept(p *patient) []DoctorCheck {
	if p.wanted() == nil || p.wanted().Primary.Slot != "" || p.primary.Info == nil {
		return nil
	}
	name, enough := "wal_keep_segments", "512"
	if version.WALKeepSize.In(p.primary.Info.Major) {
		name, enough = "wal_keep_size", "'8GB'"
	}
	value, known := p.primary.Settings[name]
	switch {
	case !known:
		return nil
	case value == "0" || value == "0MB":
		return one(warning(fmt.Sprintf("no slot is named, and the primary's %s is 0: a standby that was away for long can't follow any more", name),
			fmt.Sprintf("name standby.primary.slot, or on the primary: ALTER SYSTEM SET %s = %s; SELECT pg_reload_conf()", name, enough)))
	}
	return one(fine("the primary keeps WAL for a standby that was away: %s = %s", name, value))
}

// examineSlot: a slot keeps WAL for as long as its standby is away, until the
// primary's disk is full, unless it has a limit (pitfall 23).
func examineSlot(p *patient) []DoctorCheck {
	if p.wanted() == nil || p.wanted().Primary.Slot == "" || p.primary.Info == nil {
		return nil
	}
	name := p.wanted().Primary.Slot
	slot := p.primary.Slot
	if slot == nil {
		return one(unknown(fmt.Sprintf("the state of slot %s can't be told by the role's rights", name), "SELECT * FROM pg_replication_slots; there"))
	}
	var list []DoctorCheck
	switch {
	case !slot.Exists && !p.copyDue():
		list = append(list, fault(fmt.Sprintf("the primary has no slot %s: it keeps no WAL for this standby", name),
			fmt.Sprintf("there: SELECT pg_create_physical_replication_slot('%s', true)", name)))
	case !slot.Exists:
		list = append(list, fine("slot %s is made with the copy", name))
	case p.primary.Details != nil && p.primary.Details.SlotStatus == "lost":
		list = append(list, fault(fmt.Sprintf("slot %s has lost WAL that it should keep (wal_status lost)", name),
			fmt.Sprintf("there: SELECT pg_drop_replication_slot('%s'); then zreconcile apply; the archive may still let the standby follow", name)))
	case slot.Retained >= muchRetained:
		list = append(list, warning(fmt.Sprintf("slot %s makes the primary keep %s of WAL", name, size(slot.Retained)), "bring the standby back, or drop the slot there before the disk is full"))
	}
	list = append(list, examineSlotLimit(p, name)...)
	if list == nil {
		list = one(fine("slot %s retains %s of WAL on the primary", name, size(slot.Retained)))
	}
	return list
}

func examineSlotLimit(p *patient, slot string) []DoctorCheck {
	what := fmt.Sprintf("slot %s has no limit: a standby that is away fills the primary's disk", slot)
	switch major := p.primary.Info.Major; {
	case !version.MaxSlotWALKeepSize.In(major):
		return one(warning(what, fmt.Sprintf("PostgreSQL %d has no setting for one: watch that disk, or name no slot, and keep WAL by wal_keep_segments and the archive", major)))
	case p.primary.Settings["max_slot_wal_keep_size"] == "-1":
		return one(warning(what, "on the primary: ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf()"))
	}
	return nil
}

// examinePatroniPrimary: Patroni drops slots that it does not know. A copy of its
// primary holds its file.
func examinePatroniPrimary(p *patient) []DoctorCheck {
	if !p.standby.OfPatroni {
		return nil
	}
	s := p.wanted().Primary
	switch {
	case s.Slot != "":
		return one(warning(fmt.Sprintf("the primary was run by Patroni, which drops replication slots that it does not know, such as %s", s.Slot),
			fmt.Sprintf("patronictl edit-config: ignore_slots: [{name: %s, type: physical}], or slots: {%s: {type: physical}}", s.Slot, s.Slot)))
	case len(s.Hosts) == 1:
		return one(warning("the primary was run by Patroni, and the file names one host: after a switch-over this standby follows a standby, or nobody",
			"name all members as a list at standby.primary.host, with options: {target_session_attrs: read-write}"))
	}
	return one(fine("the primary was run by Patroni, and the file names %d hosts", len(s.Hosts)))
}
