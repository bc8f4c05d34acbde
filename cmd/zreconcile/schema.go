package main

import (
	"github.com/spf13/cobra"

	"github.com/zreconcile/zreconcile/schema"
)

func newSchema(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the site file, for editors",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := p.stdout.Write(schema.Site())
			return err
		},
	}
}
