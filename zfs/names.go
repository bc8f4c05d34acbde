package zfs

import (
	"regexp"
	"strings"
)

// Names as zfs(8) and zpoolconcepts(7) allow them, short of the blank: a component starts with a letter or
// digit, which also keeps every name from being read as a flag. 255 bytes at most, snapshot included.
var (
	component = `[A-Za-z0-9][A-Za-z0-9_.:-]*`
	datasetRE = regexp.MustCompile(`^` + component + `(/[A-Za-z0-9_.:-]+)*$`)
	partRE    = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)
	// User property names are lower case and hold a colon (zfsprops(7), "User Properties").
	userPropertyRE = regexp.MustCompile(`^[a-z0-9][a-z0-9_.+-]*:[a-z0-9:_.+-]*$`)
	nativeRE       = regexp.MustCompile(`^[a-z][a-z0-9_]*(@[A-Za-z0-9_.:-]+)?$`)
)

const maxName = 255

// ValidDataset refuses what is no name of a file system or volume.
func ValidDataset(name string) error {
	if len(name) > maxName || !datasetRE.MatchString(name) {
		return refusal(ErrInvalidName, name, "%q is not the name of a dataset: components of letters, digits and _ . : - with / between, 255 bytes at most", name)
	}
	return nil
}

// ValidSnapshot refuses what is no full name of a snapshot, dataset@name.
func ValidSnapshot(full string) error {
	dataset, short, ok := strings.Cut(full, "@")
	if !ok || len(full) > maxName || ValidDataset(dataset) != nil || !partRE.MatchString(short) {
		return refusal(ErrInvalidName, full, "%q is not the name of a snapshot: dataset@name of letters, digits and _ . : -, 255 bytes at most", full)
	}
	return nil
}

// ValidProperty refuses what is neither a native property's name nor a user property's.
func ValidProperty(name string) error {
	if len(name) <= maxName && (nativeRE.MatchString(name) || userPropertyRE.MatchString(name)) {
		return nil
	}
	return refusal(ErrInvalidProperty, name, "%q is not the name of a property: native ones are lower case words, user ones hold a colon and no upper case", name)
}

// UserProperty reports whether a name is one of a user property.
func UserProperty(name string) bool { return strings.Contains(name, ":") }

// Prop is a property to set.
type Prop struct{ Name, Value string }

// options renders properties as "flag name=value" pairs after checking their names.
func options(flag string, props []Prop) ([]string, error) {
	var argv []string
	for _, p := range props {
		if err := ValidProperty(p.Name); err != nil {
			return nil, err
		}
		argv = append(argv, flag, p.Name+"="+p.Value)
	}
	return argv, nil
}
