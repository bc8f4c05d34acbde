package spec

func (d *draft) checkRestores() {
	d.checkManaged(d.root.get("restoreDefaults", "conf", "set"), restoreManaged)
	d.checkCloneProperties(d.root.get("restoreDefaults", "properties"))
	names := distinct[string]{d: d}
	for i, n := range d.restores {
		r := d.site.Restores[i]
		if name := n.get("name"); r.Name != "" {
			names.add("restore name", r.Name, name, "another restore")
		}
		d.checkTarget(r, n.get("target"))
		d.checkRestoreDataset(i)
		d.checkManaged(n.get("conf", "set"), restoreManaged)
		d.checkCloneProperties(n.get("properties"))
		if !listensLocally(r.ListenAddresses) && n.get("hba") == nil {
			d.errorf(n.get("listenAddresses"), "say in hba who may connect, or listen on localhost",
				"the restore %q listens on %s, which needs hba", r.Name, r.ListenAddresses)
		}
		if at := n.get("expiresAfter"); at.given() && isZeroDuration(at.text) {
			d.errorf(at, "leave it out for a restore that never expires", "expiresAfter must be longer than 0")
		}
	}
}

// checkTarget wants stop where a record is named, and nowhere else.
func (d *draft) checkTarget(r Restore, n *node) {
	record := n.get("lsn") != nil || n.get("xid") != nil
	stop := n.get("stop")
	switch {
	case record && stop == nil:
		d.errorf(n, "add stop: before or stop: after", "a target of lsn or xid needs stop: whether the record itself is restored")
	case !record && stop != nil && len(n.members()) > 1:
		d.errorf(stop, "leave it out", "stop goes with lsn and xid only")
	}
}

// checkRestoreDataset keeps the clone, which is destroyed one day, apart from
// the datasets of the file and from other clones.
func (d *draft) checkRestoreDataset(i int) {
	r, n := d.site.Restores[i], d.restores[i]
	at := n.get("dataset")
	if at == nil {
		at = n.get("name")
	} else if name := at.textOr(""); name == "" || !d.checkDataset(at, name) {
		return
	}
	if r.Dataset == "" {
		return
	}
	for _, dataset := range d.site.Datasets {
		switch {
		case dataset.Name == r.Dataset:
			d.errorf(at, "choose another name", "the dataset %s of the restore %q is one of datasets", r.Dataset, r.Name)
		case below(dataset.Name, r.Dataset):
			d.errorf(at, "choose another name", "the dataset %s of the restore %q holds %s, one of datasets", r.Dataset, r.Name, dataset.Name)
		}
	}
	for j, other := range d.site.Restores[:i] {
		where := d.restores[j].place().from(n.place())
		switch {
		case other.Name == r.Name:
			// Said once, of the names.
		case other.Dataset == r.Dataset:
			d.errorf(at, "choose another name", "the dataset %s of the restore %q is also that of %q (%s)", r.Dataset, r.Name, other.Name, where)
		case below(r.Dataset, other.Dataset) || below(other.Dataset, r.Dataset):
			d.errorf(at, "choose another name", "the dataset %s of the restore %q and %s of %q lie in each other (%s)",
				r.Dataset, r.Name, other.Dataset, other.Name, where)
		}
	}
}

// checkCloneProperties keeps the mountpoint of a clone in its own key, where
// the other checks see it.
func (d *draft) checkCloneProperties(n *node) {
	d.checkProperties(n)
	for _, name := range []string{"mountpoint", "canmount"} {
		if at := n.get(name); at != nil {
			d.errorf(at, "leave it out; mountpoint is a key of the restore itself", "the property %s of a restore is this program's to set", name)
		}
	}
}
