package walcommand

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Alone is the program that has no other command, and returns its exit status.
func Alone(args []string, version string) int {
	return Run(args, func(args []string) error {
		root := &cobra.Command{Use: "zreconcile", Version: version, Short: "What PostgreSQL calls of zreconcile, alone", SilenceErrors: true, SilenceUsage: true}
		root.AddCommand(New())
		root.SetArgs(args)
		err := root.Execute()
		var answered Answer
		if err != nil && !errors.As(err, &answered) {
			fmt.Fprintln(os.Stderr, "Error:", err)
		}
		return err
	})
}
