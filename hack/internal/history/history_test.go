package history

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leftfold/leftfold/hack/internal/ledger"
)

// script is a history written by hand: times are in milliseconds, from call to
// return.
type script struct {
	*History
	base time.Time
}

func newScript() *script {
	h := New()
	return &script{h, h.began}
}

func (s *script) ms(n int) time.Time { return s.base.Add(time.Duration(n) * time.Millisecond) }

func (s *script) attempt(from, to int, key, command string, amount int64, a ledger.Answer, err error) {
	s.Command(ledger.Call{
		Operation: ledger.Operation{Key: key, Account: "a", Command: command, Body: fmt.Sprintf(`{"amount":%d}`, amount)},
		Answer:    a, Err: err, Sent: 1, Began: s.ms(from), Ended: s.ms(to),
	})
}

func (s *script) deposit(from, to int, key string, amount, version int64) {
	s.attempt(from, to, key, "Deposit", amount, ledger.Answer{Status: 200, Version: version, Events: 1}, nil)
}

func (s *script) cut(from, to int, key string, amount int64) {
	s.attempt(from, to, key, "Deposit", amount, ledger.Answer{}, errors.New("cut off"))
}

func (s *script) told(from, to int, key string, amount int64, status int) {
	s.attempt(from, to, key, "Deposit", amount, ledger.Answer{Status: status}, nil)
}

func (s *script) open() {
	s.attempt(0, 1, "open", "Open", 0, ledger.Answer{Status: 200, Version: 1, Events: 1}, nil)
}

func (s *script) read(from, to int, version, balance int64) {
	s.Read("a", 0, ledger.View{Status: 200, Version: version, Balance: balance}, s.ms(from), s.ms(to))
}

func (s *script) past(from, to int, version, balance int64) {
	s.Read("a", version, ledger.View{Status: 200, Version: version, Balance: balance}, s.ms(from), s.ms(to))
}

func (s *script) row(from, to int, after, balance int64) {
	s.Row("a", after, ledger.View{Status: 200, Balance: balance}, s.ms(from), s.ms(to))
}

func TestHistoriesAreJudged(t *testing.T) {
	for sentence, c := range map[string]struct {
		write func(*script)
		// fold is what the events tell: balances by version, from 0 on.
		fold []int64
		want string // in the error; "" for none
	}{
		"one thing after the other": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.read(4, 5, 2, 10)
			s.past(6, 7, 1, 0)
			s.row(8, 9, 2, 10)
		}, []int64{0, 0, 10}, ""},
		"a read beside a deposit may see it or not": {func(s *script) {
			s.deposit(2, 9, "d1", 10, 2)
			s.read(3, 4, 1, 0)
			s.read(5, 6, 2, 10)
		}, []int64{0, 0, 10}, ""},
		"a stale read: the deposit was answered before it began": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.read(4, 5, 1, 0)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a read that goes back behind another": {func(s *script) {
			s.deposit(2, 9, "d1", 10, 2)
			s.read(3, 4, 2, 10)
			s.read(5, 6, 1, 0)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a stale refusal: there was money by then": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.attempt(4, 5, "w1", "Withdraw", 5, ledger.Answer{Status: 409, Reason: "InsufficientFunds", Detail: "balance 0, needed 5"}, nil)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a lost write: another took its version": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.deposit(4, 5, "d2", 20, 2)
			s.read(6, 7, 2, 20)
		}, []int64{0, 0, 20}, "NOT LINEARIZABLE"},
		"a lost write: the next read does not know it": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.deposit(4, 5, "d2", 20, 3)
			s.read(6, 7, 2, 10)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a double application, of which one was answered": {func(s *script) {
			s.cut(2, 3, "d1", 10)
			s.deposit(4, 5, "d1", 10, 3)
			s.read(6, 7, 3, 20)
		}, []int64{0, 0, 10, 20}, "NOT LINEARIZABLE"},
		"a double application that comes after the answer": {func(s *script) {
			s.cut(2, 3, "d1", 10)
			s.deposit(4, 5, "d1", 10, 2)
			s.read(6, 7, 2, 10)
			s.read(8, 9, 3, 20)
		}, []int64{0, 0, 10, 20}, "NOT LINEARIZABLE"},
		"a command without an answer may have happened": {func(s *script) {
			s.cut(2, 3, "d1", 10)
			s.read(4, 5, 1, 0)
			s.read(6, 7, 2, 10)
		}, []int64{0, 0, 10}, ""},
		"or not": {func(s *script) {
			s.cut(2, 3, "d1", 10)
			s.read(4, 5, 1, 0)
		}, []int64{0, 0}, ""},
		"or not, but not before it was sent": {func(s *script) {
			s.read(2, 3, 2, 10)
			s.cut(4, 5, "d1", 10)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a command that was not attempted, and happened": {func(s *script) {
			s.told(2, 3, "d1", 10, http.StatusServiceUnavailable)
			s.read(4, 5, 2, 10)
			s.deposit(6, 7, "d1", 10, 2)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a command whose outcome was unknown, and that happened": {func(s *script) {
			s.told(2, 3, "d1", 10, http.StatusGatewayTimeout)
			s.read(4, 5, 2, 10)
			s.deposit(6, 7, "d1", 10, 2)
		}, []int64{0, 0, 10}, ""},
		"another answer to the same key": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.deposit(4, 5, "d1", 10, 3)
		}, []int64{0, 0, 10}, "and later"},
		"a version of the past that is none yet": {func(s *script) {
			s.past(2, 3, 2, 10)
			s.deposit(4, 5, "d1", 10, 2)
		}, []int64{0, 0, 10}, "NOT LINEARIZABLE"},
		"a past that never was": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.past(4, 5, 1, 7)
		}, []int64{0, 0, 10}, "the events say otherwise"},
		"a row that lacks what was waited for": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.row(4, 5, 2, 0)
		}, []int64{0, 0, 10}, "a row read at"},
		"a row that goes back": {func(s *script) {
			s.deposit(2, 3, "d1", 10, 2)
			s.row(4, 5, 0, 10)
			s.row(6, 7, 0, 0)
		}, []int64{0, 0, 10}, "a row read at"},
		"a row that is gone again": {func(s *script) {
			s.row(2, 3, 0, 0)
			s.Row("a", 0, ledger.View{Status: 404}, s.ms(4), s.ms(5))
		}, []int64{0, 0}, "a row read at"},
		"a row of what nobody has written yet": {func(s *script) {
			s.row(2, 3, 0, 10)
			s.deposit(4, 5, "d1", 10, 2)
		}, []int64{0, 0, 10}, "before version 2 was asked for"},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newScript()
			s.open()
			c.write(s)
			_, err := s.Check(map[string][]int64{"a": c.fold})
			if text := fmt.Sprint(err); (err == nil) != (c.want == "") || !strings.Contains(text, c.want) {
				t.Errorf("the verdict is %v, want %q", err, c.want)
			}
		})
	}
}

func TestAHistoryGoesOnWhereTheLastOneEnded(t *testing.T) {
	s := newScript()
	s.open()
	s.deposit(2, 3, "d1", 10, 2)
	if _, err := s.Check(map[string][]int64{"a": {0, 0, 10}}); err != nil {
		t.Fatal(err)
	}
	s.read(4, 5, 2, 10)
	s.deposit(6, 7, "d2", 1, 3)
	if _, err := s.Check(map[string][]int64{"a": {0, 0, 10, 11}}); err != nil {
		t.Fatal(err)
	}
	s.read(8, 9, 2, 10)
	if _, err := s.Check(map[string][]int64{"a": {0, 0, 10, 11}}); err == nil {
		t.Error("a read from before the last check was let through")
	}
}

func TestOnlyWhatWasSentMayHaveHappened(t *testing.T) {
	for sentence, c := range map[string]struct {
		sent, status int
		err          error
		want         bool // to be let through
	}{
		"no connection":           {0, 0, errors.New("refused"), false},
		"a connection that broke": {1, 0, errors.New("reset"), true},
		"not attempted":           {1, 503, nil, false},
		"not attempted, but sent twice by the client": {2, 503, nil, true},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newScript()
			s.open()
			s.Command(ledger.Call{
				Operation: ledger.Operation{Key: "d1", Account: "a", Command: "Deposit", Body: `{"amount":10}`},
				Answer:    ledger.Answer{Status: c.status}, Err: c.err, Sent: c.sent, Began: s.ms(2), Ended: s.ms(3),
			})
			s.read(4, 5, 2, 10) // it has happened
			s.deposit(6, 7, "d1", 10, 2)
			if _, err := s.Check(map[string][]int64{"a": {0, 0, 10}}); (err == nil) != c.want {
				t.Errorf("the verdict is %v", err)
			}
		})
	}
}

// TestWhatOneBankAnsweredIsAlwaysLinearizable makes histories of a bank that does
// one thing after the other, seen by many callers at once, some of whom hear
// nothing; and then breaks one answer of each.
func TestWhatOneBankAnsweredIsAlwaysLinearizable(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		for _, broken := range []bool{false, true} {
			s := newScript()
			s.open()
			balances := []int64{0, 0}
			spoil := -1
			if broken {
				spoil = 20 + random.IntN(60)
			}
			for i := range 100 {
				// It happens at i*10+10; callers began before, and hear of it after.
				from, to := max(2, i*10+10-random.IntN(60)), i*10+10+random.IntN(60)
				version := int64(len(balances) - 1)
				switch {
				case i == spoil:
					s.read(i*10+10, i*10+11, version+1, balances[version]+1000)
				case random.IntN(3) == 0:
					s.read(from, to, version, balances[version])
				default:
					amount := 1 + random.Int64N(9)
					key := fmt.Sprint("d", i)
					balances = append(balances, balances[version]+amount)
					if random.IntN(10) == 0 {
						s.cut(from, to, key, amount)
					} else {
						s.deposit(from, to, key, amount, version+1)
					}
				}
			}
			_, err := s.Check(map[string][]int64{"a": balances})
			if (err != nil) != broken {
				t.Fatalf("seed %d, broken %t: %v", seed, broken, err)
			}
		}
	}
}
