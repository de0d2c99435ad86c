package postgres

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leftfold/leftfold/api/postgres/pgtest"
)

func TestTurnsFollowEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShare()
		begun := time.Now()
		first, err := s.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(turnFor/4, first)
		second, err := s.take(t.Context())
		if took := time.Since(begun); err != nil || took != turnFor/4 {
			t.Fatalf("the second had its turn after %s (%v), want %s", took, err, turnFor/4)
		}
		// It hangs, and ends later, when it is another's turn.
		third, err := s.take(t.Context())
		if took := time.Since(begun); err != nil || took != turnFor/4+turnFor {
			t.Fatalf("the third had its turn after %s (%v), want %s", took, err, turnFor/4+turnFor)
		}
		second()
		ending, cancel := context.WithTimeout(t.Context(), turnFor/2)
		defer cancel()
		if _, err := s.take(ending); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the fourth did not wait for the third: %v", err)
		}
		third()
	})
}

func TestAConnectionWaitsForItsTurn(t *testing.T) {
	config, err := parseURL(Options{URL: pgtest.URL(t), ConnectTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := newShare()
	pool, err := poolSpec{size: 2, part: s.join(1), ready: func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) }}.open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s.turn <- struct{}{} // somebody else's, without an end
	brief, cancel := context.WithTimeout(t.Context(), 2*turnFor)
	defer cancel()
	if conn, err := pool.Acquire(brief); err == nil {
		conn.Release()
		t.Fatal("it was made when it was not its turn")
	}
	<-s.turn
	for range 2 { // no turn is left behind
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
}

func TestNothingIsGivenOnceTheStoreCloses(t *testing.T) {
	config, err := parseURL(Options{URL: pgtest.URL(t), ConnectTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := newShare()
	giver, without := s.join(1), s.join(1)
	pool, err := poolSpec{size: 2, part: giver}.open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for range 2 { // which are at work all the time
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
	}
	without.refused()
	if !giver.gives.Load() {
		t.Fatal("the pool that has two was not asked for one")
	}
	s.close()
	if giver.gives.Load() {
		t.Error("the pool is still asked for one")
	}
	without.refused()
	if giver.gives.Load() {
		t.Error("the pool is asked again")
	}
}
