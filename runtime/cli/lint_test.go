package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLintTellsFileLineFieldAndFix(t *testing.T) {
	sound := leftfold(t, "lint", "-f", bank, "-f", "../../config/samples/shop", "../../config/samples/seats")
	if sound.code != 0 || !strings.Contains(sound.out, "3 aggregates and 4 projections are sound") {
		t.Errorf("the samples: exit %d\n%s%s", sound.code, sound.out, sound.errors)
	}
	shop := leftfold(t, "lint", "-f", "../../config/samples/shop")
	if shop.code != 0 || shop.out != "1 aggregate and 2 projections are sound\n" {
		t.Errorf("the shop: exit %d\n%s%s", shop.code, shop.out, shop.errors)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(bank)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "account.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), `balance: "state.balance + event.amount"`, `balance: "state.balance + event.sum"`, 1)
	line := 1 + strings.Count(broken[:strings.Index(broken, "event.sum")], "\n")
	if err := os.WriteFile(file, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"lint", "dev"} {
		s := leftfold(t, command, "-f", folder)
		if s.code != 1 || s.out != "" {
			t.Errorf("%s: exit %d\n%s", command, s.code, s.out)
		}
		holds(t, s.errors, file+fmt.Sprintf(":%d:", line), "apply.balance", "sum")
	}
}
