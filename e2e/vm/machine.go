// Package vm boots a virtual machine that has what the build machines have not:
// OpenZFS in the kernel, systemd, real block devices. Its programs come from
// Debian's packages (image.sh), its tests from the job (job.go).
package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/zreconcile/zreconcile/e2e/vm/wire"
)

// Sizes of the machine and of its sparse disks.
const (
	memoryMB     = 4096
	processors   = 2
	overlayBytes = 16 << 30
	diskBytes    = 10 << 30
)

// Machine is a virtual machine under software emulation: about twenty times
// slower than its host where the processor counts.
type Machine struct {
	Image string // the folder that image.sh printed
	Job   string // the squashfs with the agent and all else that the tests bring
	Dir   string // of its disks, its console and its socket; on a short path
	Disks int    // that pools are made of: /dev/disk/by-id/virtio-zr-disk0 and on

	qemu *exec.Cmd
	gone chan struct{} // closed when qemu has ended
	conn net.Conn
	to   *json.Encoder
	from *json.Decoder
}

// Make makes empty disks.
func (m *Machine) Make(ctx context.Context) error {
	if err := sparse(m.overlay(), overlayBytes); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", m.overlay()).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4 %s: %w: %s", m.overlay(), err, out)
	}
	for i := range m.Disks {
		if err := sparse(m.disk(i), diskBytes); err != nil {
			return err
		}
	}
	return nil
}

func sparse(path string, bytes int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(bytes), f.Close())
}

func (m *Machine) overlay() string   { return filepath.Join(m.Dir, "overlay") }
func (m *Machine) disk(i int) string { return filepath.Join(m.Dir, "disk"+strconv.Itoa(i)) }
func (m *Machine) socket() string    { return filepath.Join(m.Dir, "agent") }

// Console is the file with what kernel and systemd said last.
func (m *Machine) Console() string { return filepath.Join(m.Dir, "console") }

// arguments are qemu's. With cx16 visible, guests of QEMU 7.2 crash at random
// under emulation. -no-reboot: a reboot of the machine ends qemu, and the next
// Boot is what comes up.
func (m *Machine) arguments() []string {
	args := []string{
		"-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "qemu64,-cx16",
		"-m", strconv.Itoa(memoryMB), "-smp", strconv.Itoa(processors), "-nic", "none", "-display", "none", "-no-reboot",
		"-serial", "file:" + m.Console(),
		"-kernel", filepath.Join(m.Image, "vmlinuz"), "-initrd", filepath.Join(m.Image, "initrd"),
		"-append", "console=ttyS0 mitigations=off random.trust_cpu=on cryptomgr.notests panic=-1 quiet systemd.show_status=0",
		"-device", "virtio-serial-pci", "-chardev", "socket,id=agent,path=" + m.socket() + ",server=on,wait=off",
		"-device", "virtserialport,chardev=agent,name=zr-agent",
	}
	args = append(args, drive("root", filepath.Join(m.Image, "root.squashfs"), "readonly=on")...)
	args = append(args, drive("job", m.Job, "readonly=on")...)
	args = append(args, drive("over", m.overlay(), "cache=unsafe")...)
	for i := range m.Disks {
		args = append(args, drive("disk"+strconv.Itoa(i), m.disk(i), "cache=unsafe,discard=unmap")...)
	}
	return args
}

// drive is a disk whose serial number is zr-NAME.
func drive(name, path, options string) []string {
	return []string{"-drive", "file=" + path + ",format=raw,if=none,id=" + name + "," + options,
		"-device", "virtio-blk-pci,drive=" + name + ",serial=zr-" + name}
}

// Boot starts the machine and returns when the agent in it answers.
func (m *Machine) Boot(ctx context.Context) error {
	qemu := exec.Command("qemu-system-x86_64", m.arguments()...)
	words, err := os.Create(filepath.Join(m.Dir, "qemu"))
	if err != nil {
		return err
	}
	defer words.Close()
	qemu.Stdout, qemu.Stderr = words, words
	gone := make(chan struct{})
	if err := startMortal(qemu, gone); err != nil {
		return err
	}
	m.qemu, m.gone = qemu, gone
	if err := m.connect(ctx); err != nil {
		said, _ := os.ReadFile(words.Name())
		return errors.Join(fmt.Errorf("the machine does not come up: %w: %s", err, said), m.PullPlug())
	}
	return m.Run(ctx, io.Discard, wire.Request{Argv: []string{"true"}})
}

// startMortal starts a program that ends with us, also when the time of the tests is
// over and nothing is cleaned up; gone is closed when it has ended.
func startMortal(cmd *exec.Cmd, gone chan struct{}) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// The signal comes with the end of the thread that started the program
		// (manual page PR_SET_PDEATHSIG): this one stays for as long.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // that it has ended is what counts
		close(gone)
	}()
	return <-started
}

func (m *Machine) connect(ctx context.Context) error {
	for {
		conn, err := net.Dial("unix", m.socket())
		if err == nil {
			m.conn, m.to, m.from = conn, json.NewEncoder(conn), json.NewDecoder(conn)
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-m.gone:
			return fmt.Errorf("qemu has ended: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// ExitError is a command that ended with another status than 0.
type ExitError struct {
	Argv []string
	Code int
	Why  string
}

func (e *ExitError) Error() string { return fmt.Sprintf("%q: exit %d %s", e.Argv, e.Code, e.Why) }

// Run runs one command in the machine and copies what it prints to out. After
// the end of ctx the machine is of no more use: the command still runs there.
func (m *Machine) Run(ctx context.Context, out io.Writer, r wire.Request) error {
	stop := context.AfterFunc(ctx, func() { _ = m.conn.Close() })
	defer stop()
	if err := m.to.Encode(r); err != nil {
		return m.lost(ctx, r, err)
	}
	for {
		var reply wire.Reply
		if err := m.from.Decode(&reply); err != nil {
			return m.lost(ctx, r, err)
		}
		if _, err := out.Write(reply.Output); err != nil {
			return err
		}
		if reply.Ended && (reply.Exit != 0 || reply.Error != "") {
			return &ExitError{Argv: r.Argv, Code: reply.Exit, Why: reply.Error}
		}
		if reply.Ended {
			return nil
		}
	}
}

func (m *Machine) lost(ctx context.Context, r wire.Request, err error) error {
	return fmt.Errorf("%q: the machine does not answer any more: %w", r.Argv, errors.Join(ctx.Err(), err))
}

// Reboot has systemd stop everything in its order and boots again.
func (m *Machine) Reboot(ctx context.Context) error {
	// The answer may not get out any more; that qemu ends is the answer.
	if err := m.to.Encode(wire.Request{Argv: []string{"systemctl", "--no-block", "reboot"}}); err != nil {
		return err
	}
	select {
	case <-m.gone:
	case <-ctx.Done():
		return fmt.Errorf("the machine does not go down: %w", ctx.Err())
	}
	_ = m.conn.Close()
	return m.Boot(ctx)
}

// PullPlug ends the machine as a power cut does.
func (m *Machine) PullPlug() error {
	if m.qemu == nil {
		return nil
	}
	if m.conn != nil {
		_ = m.conn.Close()
	}
	err := m.qemu.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-m.gone
	return err
}
