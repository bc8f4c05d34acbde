package main

import "golang.org/x/sys/unix"

// keepToSmallPages takes transparent huge pages from this process, and from what it
// starts (PR_SET_THP_DISABLE of prctl(2)). Where the kernel gives them to everybody, as
// Debian 13's does, it rounds a heap of 6 MB up to 12, and puts together again what
// was given back. PostgreSQL discourages them for its servers, too (chapter "Resource
// Consumption", huge_pages).
func keepToSmallPages() error {
	return unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
}
