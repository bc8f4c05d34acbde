package reconcile

import "testing"

// People know a snapshot by the label that they gave it.
func TestLabelled(t *testing.T) {
	list := []Snapshot{{Name: "zr-1", Label: "x"}, {Name: "zr-2", Label: "x"}, {Name: "zr-3"}}
	for name, want := range map[string]string{"x": ", but that is the label of zr-2", "y": "", "": ""} {
		if got := labelled(list, name); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}
