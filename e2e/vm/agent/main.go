// Command agent runs in the virtual machine what the host asks for: see wire.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/zreconcile/zreconcile/e2e/vm/wire"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: agent PORT")
		os.Exit(1)
	}
	port, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
		os.Exit(1)
	}
	a := agent{to: json.NewEncoder(port)}
	from := json.NewDecoder(patient{port})
	for {
		var r wire.Request
		if err := from.Decode(&r); err != nil {
			fmt.Fprintln(os.Stderr, "agent:", err)
			os.Exit(1) // systemd starts it again
		}
		a.serve(r)
	}
}

// patient reads on while the host is not connected, which reads as an end.
type patient struct{ port io.Reader }

func (p patient) Read(into []byte) (int, error) {
	for {
		n, err := p.port.Read(into)
		if n > 0 || err != nil && !errors.Is(err, io.EOF) {
			return n, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

type agent struct {
	mu sync.Mutex
	to *json.Encoder
}

func (a *agent) send(r wire.Reply) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.to.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "agent:", err)
	}
}

// Write sends output as it comes.
func (a *agent) Write(output []byte) (int, error) {
	a.send(wire.Reply{Output: output})
	return len(output), nil
}

func (a *agent) serve(r wire.Request) {
	if len(r.Argv) == 0 {
		a.send(wire.Reply{Ended: true, Exit: -1, Error: "no program is named"})
		return
	}
	cmd := exec.Command(r.Argv[0], r.Argv[1:]...)
	cmd.Dir = r.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}, r.Env...)
	cmd.Stdin = bytes.NewReader(r.Stdin)
	cmd.Stdout, cmd.Stderr = a, a
	cmd.WaitDelay = time.Second // a server that it left behind holds its pipes open
	end := wire.Reply{Ended: true, Exit: -1}
	err := cmd.Run()
	if cmd.ProcessState != nil {
		end.Exit = cmd.ProcessState.ExitCode()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		end.Error = err.Error()
	}
	a.send(end)
}
