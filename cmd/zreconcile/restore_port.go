package main

import (
	"errors"
	"fmt"

	"github.com/zreconcile/zreconcile/postgres"
	"github.com/zreconcile/zreconcile/spec"
)

const (
	lastPort   = 65535
	portsTried = 1000 // above the standby's
)

// freePort is the first port above the standby's that no entry of the file has
// and nobody listens on.
func freePort(site *spec.Site) (int, error) {
	if site.Standby == nil {
		return 0, usageError{errors.New("the site has no standby whose port to begin at: give --port")}
	}
	taken := map[int]bool{}
	for _, r := range site.Restores {
		taken[r.Port] = true
	}
	var tried []int
	for port := site.Standby.Port + 1; port <= min(lastPort, site.Standby.Port+portsTried); port++ {
		tried = append(tried, port)
	}
	listeners, err := postgres.Listeners(tried...)
	if err != nil {
		return 0, err
	}
	for _, l := range listeners {
		taken[l.Port] = true
	}
	for _, port := range tried {
		if !taken[port] {
			return port, nil
		}
	}
	return 0, usageError{fmt.Errorf("no port above the standby's %d is free: give --port", site.Standby.Port)}
}
