package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// descText is how client_golang prints a description, whose fields it keeps to itself.
var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: "([^"]*)", unit: "[^"]*", constLabels: \{([a-z]*)[^}]*\}, variableLabels: \{([^}]*)\}\}$`)

// parseDescs reads descriptions, sorted by name.
func parseDescs(descs <-chan *prometheus.Desc) ([]metricInfo, error) {
	var list []metricInfo
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		if m == nil {
			return nil, fmt.Errorf("the description of a metric is printed in another form: %s", d)
		}
		list = append(list, metricInfo{name: m[1], help: m[2], labels: m[3] + m[4]})
	}
	slices.SortFunc(list, func(a, b metricInfo) int { return cmp.Compare(a.name, b.name) })
	return list, nil
}
