package reconcile

import (
	"context"
)

// The kinds of things that a site is made of.
const (
	kindPool         = "pool"
	kindDataset      = "dataset"
	kindBasebackup   = "basebackup"
	kindConf         = "conf"
	kindStandby      = "standby"
	kindSnapshot     = "snapshot"
	kindRetention    = "retention"
	kindWAL          = "wal"
	kindRestore      = "restore"
	kindVerification = "verification"
)

// stage is one step of convergence: what differs, and how a change is made.
type stage struct {
	kind  string
	diff  func(*view) []Change
	apply func(context.Context, *Host, *view, Change) error
	// applyAll is there instead of apply where many changes take few programs;
	// it returns errors by the name of the change.
	applyAll func(context.Context, *Host, *view, []Change) map[string]error
	// create is there instead of apply where the thing gets its name only when
	// it is made; it returns that, or "" for the planned one.
	create func(context.Context, *Host, *view, Change) (name string, err error)
	// needs are the kinds that must not have failed or be blocked before it.
	needs []string
}

// stages is the order of convergence; the list is the dependency order.
// Removals come first, since they free ports and space that creations need.
// Retention needs nothing: a full pool must not keep it from freeing space.
func stages() []stage {
	return []stage{
		{kind: kindRestore, diff: diffRestoreRemoval, apply: applyRestoreRemoval},
		{kind: kindVerification, diff: diffDrillRemoval, apply: applyDrillRemoval},
		{kind: kindPool, diff: diffPool, apply: applyPool},
		{kind: kindDataset, diff: diffDataset, apply: applyDataset, needs: []string{kindPool}},
		{kind: kindBasebackup, diff: diffBasebackup, apply: applyBasebackup, needs: []string{kindPool, kindDataset}},
		{kind: kindWAL, diff: diffArchive, apply: applyArchive, needs: []string{kindPool, kindDataset, kindBasebackup}},
		{kind: kindConf, diff: diffConf, apply: applyConf, needs: []string{kindPool, kindDataset, kindBasebackup}},
		{kind: kindStandby, diff: diffStandby, apply: applyStandby, needs: []string{kindPool, kindDataset, kindBasebackup, kindConf, kindWAL}},
		{kind: kindWAL, diff: diffHealing, apply: applyHealing, needs: []string{kindPool, kindDataset, kindConf}},
		{kind: kindSnapshot, diff: diffSnapshot, create: applySnapshot, needs: []string{kindPool, kindDataset, kindBasebackup, kindStandby}},
		{kind: kindRestore, diff: diffRestore, apply: applyRestore, needs: []string{kindPool}},
		{kind: kindRetention, diff: diffRetention, applyAll: applyRetention},
		{kind: kindWAL, diff: diffWALRemoval, apply: applyWALRemoval},
		{kind: kindVerification, diff: diffVerification, apply: applyVerification, needs: []string{kindPool, kindDataset, kindSnapshot}},
	}
}

// KindNames are the kinds, in the order of convergence.
func KindNames() []string {
	return []string{kindPool, kindDataset, kindBasebackup, kindConf, kindStandby, kindSnapshot, kindRetention, kindWAL, kindRestore, kindVerification}
}
