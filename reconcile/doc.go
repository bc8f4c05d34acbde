// Package reconcile makes a host what its site file says: Observe reads what
// is, Diff works out the changes as data, Apply makes them and looks again.
package reconcile
