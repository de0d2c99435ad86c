package cel

import (
	"testing"

	"github.com/leftfold/leftfold/runtime/behavior"
)

// opened gives the bank with an account in it.
func opened(b *testing.B) (*Behavior, behavior.State) {
	b.Helper()
	bank := bank(b)
	s, _, err := handle(b, bank, bank.Zero(), "Open", `{"owner":"ada"}`)
	if err != nil {
		b.Fatal(err)
	}
	s, _, err = handle(b, bank, s, "SetLimits", `{"limits":{"atm":{"single":500},"web":{"single":900}}}`)
	if err != nil {
		b.Fatal(err)
	}
	s, _, err = handle(b, bank, s, "Deposit", `{"amount":1000000000}`)
	if err != nil {
		b.Fatal(err)
	}
	return bank, s
}

func BenchmarkBank(b *testing.B) {
	bank, s := opened(b)
	for _, c := range []struct{ command, body string }{
		{"Deposit", `{"amount":5000}`},
		{"Withdraw", `{"amount":300,"channel":"web"}`},
	} {
		body := []byte(c.body)
		parsed, err := bank.Parse(c.command, body)
		if err != nil {
			b.Fatal(err)
		}
		events, err := bank.Decide(s, parsed, testMeta)
		if err != nil {
			b.Fatal(err)
		}
		stored := behavior.Event{Type: events[0].Type, TypeVersion: 1, Data: events[0].Data}
		b.Run(c.command+"/Parse", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bank.Parse(c.command, body)
			}
		})
		b.Run(c.command+"/Decide", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bank.Decide(s, parsed, testMeta)
			}
		})
		b.Run(c.command+"/Try", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bank.Try(s, events[0], testMeta)
			}
		})
		b.Run(c.command+"/Evolve", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = bank.Evolve(s, stored, testMeta)
			}
		})
	}
}
