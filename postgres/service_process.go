package postgres

import "context"

// processService is a server without a supervisor: pg_ctl starts it, and watch
// starts it again when it is gone.
type processService struct {
	cluster *Cluster
	start   StartOptions
}

func (processService) Supervisor() string                    { return "process" }
func (processService) Installed() (bool, error)              { return true, nil }
func (processService) Install(context.Context) (bool, error) { return false, nil }
func (processService) Remove(context.Context) error          { return nil }

func (s processService) Start(ctx context.Context) error   { return s.cluster.Start(ctx, s.start) }
func (s processService) Stop(ctx context.Context) error    { return s.cluster.Stop(ctx, "fast") }
func (s processService) Restart(ctx context.Context) error { return s.cluster.Restart(ctx, s.start) }
func (s processService) Reload(ctx context.Context) error  { return s.cluster.Reload(ctx) }
func (s processService) LastWords() string                 { return s.cluster.lastWords(s.cluster.started) }
