package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zreconcile/zreconcile/spec"
)

// The file that is recommended to people makes a whole site of a bare host in
// one apply, and a site that fulfils it needs nothing.
func TestProductionExampleConverges(t *testing.T) {
	site, problems, err := spec.Load("../examples/production.yaml")
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v\n%v", err, problems)
	}
	plan := Diff(site, bareHost(site), givenNow, nil)
	want := []string{
		"create pool/tank", "create dataset/tank/archive", "create dataset/tank/pg", "create dataset/tank/reserve",
		"create basebackup//tank/pg/data", "create wal//tank/archive/wal", "create conf/standby", "start standby/standby",
		"create snapshot/zr-20261123T120000Z", "create verification/zr-20261123T120000Z",
	}
	if diff := cmp.Diff(want, briefly(plan)); diff != "" {
		t.Errorf("the plan of a bare host (-want +got):\n%s\n%s", diff, rendered(plan))
	}
	if plan := Diff(site, converged(t, site), givenNow, nil); !plan.Converged {
		t.Errorf("a site that fulfils it differs:\n%s", rendered(plan))
	}
}
