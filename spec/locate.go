package spec

import (
	"strconv"
	"strings"
)

// locate finds the value that a JSON pointer (RFC 6901) names, or the deepest
// one on the way to it.
func (n *node) locate(pointer string) *node {
	for _, token := range strings.Split(pointer, "/")[1:] {
		next := n.step(pointerEscapes.Replace(token))
		if next == nil {
			return n
		}
		n = next
	}
	return n
}

func (n *node) step(token string) *node {
	if n.kind == arrayNode {
		i, err := strconv.Atoi(token)
		if err != nil || i < 0 || i >= len(n.items) {
			return nil
		}
		return n.items[i]
	}
	return n.child(token)
}

// keyAt is the place of a key itself; of the object when it has no such key.
func (n *node) keyAt(key string) Pos {
	if i, found := n.index[key]; found {
		return n.keys[i].pos
	}
	return n.place()
}

var pointerEscapes = strings.NewReplacer("~1", "/", "~0", "~")
