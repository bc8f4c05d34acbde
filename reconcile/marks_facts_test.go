package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/zfs"
)

// What a clone is marked with at the end of its making is one property, whose parts
// are read as marks; one that was set later counts before its part.
func TestFactsAreReadAsMarks(t *testing.T) {
	facts := []zfs.Prop{{Name: markStop, Value: "1 0/6152088 after"}, {Name: markFirstOut, Value: "none"}, {Name: markPromoted, Value: "yes"}}
	state := packed(stateReady, facts)
	if want := (zfs.Prop{Name: markState, Value: "ready; stop=1 0/6152088 after; first-out=none; promoted=yes"}); state != want {
		t.Errorf("%q", state)
	}
	local := func(value string) zfs.Value { return zfs.Value{Value: value, Source: "local"} }
	for _, test := range []struct {
		name       string
		properties map[string]zfs.Value
		want       marks
	}{
		{"with facts", map[string]zfs.Value{markState: local(state.Value)},
			marks{markState: stateReady, markStop: "1 0/6152088 after", markFirstOut: "none", markPromoted: "yes"}},
		{"one changed since", map[string]zfs.Value{markState: local(state.Value), markPromoted: local("no")},
			marks{markState: stateReady, markStop: "1 0/6152088 after", markFirstOut: "none", markPromoted: "no"}},
		{"without", map[string]zfs.Value{markState: local(stateMaking)}, marks{markState: stateMaking}},
		{"no state", map[string]zfs.Value{markSite: local("orders")}, marks{markSite: "orders"}},
		{"of somebody else", map[string]zfs.Value{markState: {Value: state.Value, Source: "inherited from zp1"}}, marks{}},
	} {
		if diff := cmp.Diff(test.want, localMarks(test.properties)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", test.name, diff)
		}
	}
}
