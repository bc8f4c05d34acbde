package main

import (
	"slices"
	"testing"

	"github.com/zreconcile/zreconcile/reconcile"
	"github.com/zreconcile/zreconcile/spec"
)

func TestStrays(t *testing.T) {
	site := &spec.Site{Datasets: []spec.Dataset{{Name: "tank/pg"}}, Restores: []spec.Restore{{Name: "rescue"}}}
	plan := reconcile.Plan{Changes: []reconcile.Change{{Kind: "restore", Name: "gone"}}}
	only := reconcile.Only{"restore", "restore/rescue", "restore/gone", "restore/recsue", "dataset/tank/pg", "dataset/pg", "snapshot/zr-1"}
	want := []string{"--only restore/recsue: the file has no restore recsue", "--only dataset/pg: the file has no dataset pg"}
	if got := strays(only, site, plan); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
