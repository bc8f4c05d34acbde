package zfs

import (
	"slices"
	"strconv"
	"strings"
)

// sizes are the native properties that hold a number of bytes (zfsprops(7)).
var sizes = slices.Concat(noneIsZero, []string{"recordsize", "volblocksize", "volsize", "special_small_blocks"})

// Readable is the value of a native property, as zfs get -p shows it, as a person writes it: 8192 as 8K, and
// no limit as none. What has no such form stays as it is.
func Readable(property, value string) string {
	base, _, perUser := strings.Cut(property, "@")
	if !slices.Contains(sizes, property) && !(perUser && strings.HasSuffix(base, "quota") && !strings.HasSuffix(base, "objquota")) {
		return value
	}
	n, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil || n < 0:
		return value
	case n == 0 && (perUser || slices.Contains(noneIsZero, property)):
		return "none"
	}
	unit := 0
	for n >= 1024 && n%1024 == 0 && unit < len("KMGTP") {
		n, unit = n/1024, unit+1
	}
	if unit == 0 {
		return value
	}
	return strconv.FormatInt(n, 10) + "KMGTP"[unit-1:unit]
}
