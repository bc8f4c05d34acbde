package reconcile

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

	"github.com/zreconcile/zreconcile/postgres/conf"
)

// noArchiving is what PostgreSQL's documentation names to end archiving without
// a restart (chapter "Write Ahead Log", archive_command): an empty command would
// make the server keep all WAL until its disk is full.
const noArchiving = "/bin/true"

// plainFile is a file with settings as it can stay without this program: what calls
// it is written anew, with what stands for it, and every other setting stays,
// byte for byte. dropSlot takes the replication slot out as well.
func (in *view) plainFile(have []byte, clone, dropSlot bool) ([]byte, []Attr, error) {
	values := conf.Effective(have)
	var plain []conf.Setting
	if in.callsUs(values["restore_command"]) {
		s, err := plainRestoreCommand(in.site.Archive.Dir, clone)
		if err != nil {
			return nil, nil, err
		}
		plain = append(plain, s)
	}
	if in.callsUs(values["archive_command"]) {
		plain = append(plain,
			conf.Setting{Name: "archive_command", Value: noArchiving, Why: "ends archiving at once; archive_mode at the next restart"},
			conf.Setting{Name: "archive_mode", Value: "off", Why: "nothing would remove old WAL from the archive any more"})
	}
	if dropSlot && values["primary_slot_name"] != "" {
		plain = append(plain, conf.Setting{Name: "primary_slot_name", Why: "the slot was removed from the primary"})
	}
	want := conf.Replace(have, plain)
	managed := conf.Render(managedHeader(in.site.Name), nil)
	if text, found := bytes.CutPrefix(want, managed); found {
		want = append(conf.Render(ejectedHeader(in.site.Name), nil), text...)
	}
	var attrs []Attr
	for _, s := range plain {
		attrs = append(attrs, Attr{Name: s.Name, Before: values[s.Name], After: s.Value})
	}
	if len(attrs) == 0 && !bytes.Equal(have, want) {
		attrs = append(attrs, Attr{Name: managedFile, Before: "managed by zreconcile", After: "yours to edit"})
	}
	sort.Slice(attrs, func(i, j int) bool { return attrs[i].Name < attrs[j].Name })
	return want, attrs, nil
}

func ejectedHeader(site string) string {
	return "Written by zreconcile for the site " + site + ", which was ejected: change it as you like.\n" +
		"It is included last, so it wins over what stands before it."
}

// callsUs is true of a command that runs our copy of this program.
func (in *view) callsUs(command string) bool {
	return strings.Contains(command, conf.ShellWord(in.state.Paths.Helper))
}

// plainRestoreCommand fetches WAL from the archive with what every system has.
// A clone must stop where anything but a proven absence is met, which takes a
// status above 125; the same would stop a standby, which tries again (pitfall 17).
func plainRestoreCommand(archive string, clone bool) (conf.Setting, error) {
	if strings.ContainsAny(archive, "\n\r\x00") {
		return conf.Setting{}, fmt.Errorf("restore_command: the archive %q holds a line break or a NUL byte", archive)
	}
	dir := conf.ShellWord(archive)
	file := dir + "/" + conf.FilePlaceholder
	command := fmt.Sprintf("test -f %s && cp %s %s", file, file, conf.PathPlaceholder)
	if clone {
		command = fmt.Sprintf("test -d %s || exit 255; test -f %s || exit 1; cp %s %s || exit 255", dir, file, file, conf.PathPlaceholder)
	}
	return conf.Setting{Name: "restore_command", Value: command, Why: "WAL that was archived until zreconcile was ejected"}, nil
}
