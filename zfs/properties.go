package zfs

import (
	"path"
	"slices"
	"strings"
)

// Groups of native dataset properties by the form of their values (zfsprops(7)).
var (
	noneIsZero     = []string{"quota", "refquota", "reservation", "refreservation"}
	countLimits    = []string{"filesystem_limit", "snapshot_limit"}
	quotaByUser    = []string{"userquota@", "groupquota@", "projectquota@", "userobjquota@", "groupobjquota@", "projectobjquota@"}
	freeText       = []string{"mountpoint", "sharenfs", "sharesmb", "mlslabel", "keylocation", "comment", "bootfs", "cachefile", "altroot", "compatibility"}
	dashForUnset   = []string{"comment", "bootfs", "cachefile", "altroot"}
	datasetAtBirth = []string{"casesensitivity", "normalization", "utf8only", "volblocksize", "encryption", "keyformat", "pbkdf2iters"}
	poolAtBirth    = []string{"ashift", "altroot", "readonly", "tname"}
	readOnly       = []string{"available", "clones", "compressratio", "createtxg", "creation", "defer_destroy",
		"encryptionroot", "filesystem_count", "guid", "inconsistent", "iscsioptions", "keystatus", "logicalreferenced",
		"logicalused", "mounted", "name", "numclones", "objsetid", "origin", "prevsnap", "receive_resume_token",
		"redact_snaps", "redacted", "refcompressratio", "referenced", "snapshot_count", "snapshots_changed", "type",
		"used", "usedbychildren", "usedbydataset", "usedbyrefreservation", "usedbysnapshots", "userrefs", "written"}
)

// sameWords are values of index properties that mean the same: what is set by one name is shown by another
// (module/zcommon/zfs_prop.c). compression=on is not among them: it stays on, whatever it stands for.
var sameWords = map[string][][]string{
	"compression": {{"gzip", "gzip-6"}, {"zstd", "zstd-3"}, {"zstd-fast", "zstd-fast-1"}},
	"acltype":     {{"off", "noacl"}, {"posix", "posixacl"}},
	"aclinherit":  {{"restricted", "secure"}},
	"volmode":     {{"full", "geom"}},
	"encryption":  {{"on", "aes-256-gcm"}},
	// on is shown for dir by releases where it stands for dir; where it stands for sa, sa is shown for on.
	"xattr": {{"on", "dir"}, {"on", "sa"}},
}

// SameValue reports whether two values of a native dataset or pool property mean the same, so that setting
// one over the other would change nothing. a and b may each be as written in a file or as a tool shows it:
// 8K is 8192, none is 0 for limits, yes and true are on. Values of user properties are equal or not.
func SameValue(property, a, b string) bool {
	if a == b {
		return true
	}
	if UserProperty(property) {
		return false
	}
	base, _, perUser := strings.Cut(property, "@")
	if base == "feature" { // once in use, enabled is shown as active (zpool-features(7))
		return a != "disabled" && b != "disabled"
	}
	if slices.Contains(dashForUnset, property) && strings.Trim(a, "-") == "" && strings.Trim(b, "-") == "" {
		return true
	}
	if property == "mountpoint" || property == "altroot" {
		return samePath(a, b)
	}
	if slices.Contains(countLimits, property) || slices.Contains(noneIsZero, property) ||
		perUser && slices.Contains(quotaByUser, base+"@") {
		a, b = zeroForNone(property, a), zeroForNone(property, b)
	}
	if slices.Contains(freeText, property) && !(isSwitch(a) && isSwitch(b)) {
		return false
	}
	a, b = switchWord(strings.ToLower(a)), switchWord(strings.ToLower(b))
	if a == b {
		return true
	}
	for _, group := range sameWords[property] {
		if slices.Contains(group, a) && slices.Contains(group, b) {
			return true
		}
	}
	return sameNumber(a, b)
}

func sameNumber(a, b string) bool {
	m, errA := ParseSize(a)
	n, errB := ParseSize(b)
	return errA == nil && errB == nil && m == n
}

// zeroForNone makes one word of no limit. Counts show it as none even where sizes show 0, and there 0
// means that nothing is allowed.
func zeroForNone(property, value string) string {
	if value == "none" && !slices.Contains(countLimits, property) {
		return "0"
	}
	return value
}

func samePath(a, b string) bool {
	return strings.HasPrefix(a, "/") && strings.HasPrefix(b, "/") && path.Clean(a) == path.Clean(b)
}

// switchWord gives the word of zfs for what YAML and people write.
func switchWord(value string) string {
	switch value {
	case "yes", "true":
		return "on"
	case "no", "false":
		return "off"
	}
	return value
}

func isSwitch(value string) bool {
	word := switchWord(strings.ToLower(value))
	return word == "on" || word == "off"
}

// CreationOnly reports whether a dataset property can be given only when the dataset is created.
func CreationOnly(property string) bool { return slices.Contains(datasetAtBirth, property) }

// PoolCreationOnly reports whether a pool property holds for what exists only when it was given at creation
// or import. OpenZFS lets ashift be set later, but then it counts for devices added from then on.
func PoolCreationOnly(property string) bool { return slices.Contains(poolAtBirth, property) }

// ReadOnly reports whether a dataset property can never be set.
func ReadOnly(property string) bool {
	base, _, perUser := strings.Cut(property, "@")
	if perUser {
		return strings.HasPrefix(base, "userused") || strings.HasPrefix(base, "groupused") || strings.HasPrefix(base, "projectused") ||
			strings.HasSuffix(base, "objused") || base == "written"
	}
	return slices.Contains(readOnly, property)
}
