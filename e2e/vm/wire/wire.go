// Package wire is what passes between the host and the agent in the virtual
// machine: one JSON value a line over a virtio serial port, one command at a time.
package wire

// Request is a command to run in the machine.
type Request struct {
	Argv  []string // the program, found in PATH, and its arguments
	Dir   string   // where it runs; "" is /
	Env   []string // NAME=value, beside PATH, HOME and LC_ALL
	Stdin []byte
}

// Reply is a piece of what the command prints on stdout and stderr, or its end.
type Reply struct {
	Output []byte `json:",omitempty"`
	Ended  bool   `json:",omitempty"`
	Exit   int    `json:",omitempty"` // the exit status; -1: it did not start or was killed
	Error  string `json:",omitempty"` // why, where Exit alone does not tell
}
