package spec

import (
	"fmt"
	"strings"
)

// suggest finds the known word that a writer most likely meant; "" when none
// is near. Case, - and _ do not count: data_dir means dataDir.
func suggest(word string, known []string) string {
	best, distance := "", 0
	for _, candidate := range known {
		limit := (min(len(candidate), len(word)) + 1) / 4
		a, b := folded(word), folded(candidate)
		if max(len(a)-len(b), len(b)-len(a)) > limit {
			continue
		}
		if n := editDistance(a, b); n <= limit && (best == "" || n < distance) {
			best, distance = candidate, n
		}
	}
	if best == "" || word == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

var separators = strings.NewReplacer("_", "", "-", "")

func folded(word string) string {
	if len(word) > 64 {
		word = word[:64]
	}
	return separators.Replace(strings.ToLower(word))
}

// editDistance counts the letters to insert, delete, replace or swap with
// their neighbour to turn a into b (optimal string alignment).
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
