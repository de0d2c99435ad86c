//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/failover"
	"github.com/leftfold/leftfold/hack/internal/stage"
)

// TestUnderLoadNoCommandFailsIsLostOrDoubled does one damage after the other to one
// bank under load, each once; long ones are brief here. Package failover says which
// they are, and what is excused at each: a command that was connected to a process
// that is killed may lose its connection. What it takes is told and not judged: make
// failover does that, with nothing else on the machine.
func TestUnderLoadNoCommandFailsIsLostOrDoubled(t *testing.T) {
	campaign := &failover.Campaign{
		Bank: newBank(t), Binary: "../../bin/leftfold", Log: t.Output(), Seed: uint64(time.Now().UnixNano()), Short: true,
	}
	for _, fault := range failover.Faults() {
		if fault.Long {
			continue
		}
		went := t.Run(fault.Name, func(t *testing.T) {
			result, err := campaign.Run(t.Context(), fault, 1)
			if err != nil {
				t.Fatal(err)
			}
			t.Attr("measured", fault.Title+": "+result.Summary())
		})
		if !went {
			t.Fatalf("the bank is not as it was before %q, so the faults after it were not done", fault.Name)
		}
	}
}

// pause lets time go by.
func pause(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// in runs kubectl in the bank's namespace.
func in(t *testing.T, bank *stage.Bank, args ...string) string {
	t.Helper()
	out, err := bank.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
