package walcommand

import (
	"errors"
	"testing"
)

// pitfall 17: in a clone, nothing but a proven absence may exit below 126.
func TestPitfall17_CommandLineErrorsStopAClone(t *testing.T) {
	refused := errors.New("unknown flag")
	for _, test := range []struct {
		args []string
		err  error
		want int
	}{
		{[]string{"wal", "get", "--clone", "--bad"}, refused, 255},
		{[]string{"wal", "get", "--clone=true"}, refused, 255},
		{[]string{"wal", "get", "--clone=nonsense"}, refused, 255},
		{[]string{"wal", "get", "--clone=false"}, refused, 1},
		{[]string{"wal", "get", "--bad"}, refused, 1},
		{[]string{"wal", "get", "--clone"}, Answer(1), 1}, // provably absent
		{[]string{"wal", "get", "--clone"}, Answer(255), 255},
		{[]string{"wal", "get", "--clone"}, nil, 0},
		{[]string{"plan", "--only", "wal"}, Other(4), 4},
		{[]string{"plan", "wal", "get", "--clone"}, Other(1), 255}, // not as PostgreSQL was told to ask
	} {
		if got := status(test.err, forClone(test.args)); got != test.want {
			t.Errorf("%q with %v exits %d, want %d", test.args, test.err, got, test.want)
		}
	}
}
