package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	leftfoldv1 "github.com/leftfold/leftfold/api/rpc/leftfold/v1"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/routing"
	"github.com/leftfold/leftfold/runtime/shard"
)

// codes are for those who look at the wire: programs go by the detail.
var codes = map[problem.Reason]connect.Code{
	problem.Overloaded:     connect.CodeResourceExhausted,
	problem.NotAttempted:   connect.CodeUnavailable,
	problem.OutcomeUnknown: connect.CodeDeadlineExceeded,
	problem.BehaviorFailed: connect.CodeInternal,
	problem.Internal:       connect.CodeInternal,
	problem.UnknownName:    connect.CodeNotFound,
	problem.NoSuchEntity:   connect.CodeNotFound,
}

// fault writes what went wrong here.
func fault(log *slog.Logger, err error) error {
	var refused *routing.NotOwnerError
	var p *problem.Problem
	switch {
	case errors.As(err, &refused):
		return detailed(connect.CodeUnavailable, err, &leftfoldv1.NotOwner{Address: valid(refused.Hint.Address), Epoch: refused.Hint.Epoch})
	case errors.Is(err, shard.ErrNotOwner):
		return detailed(connect.CodeUnavailable, err, &leftfoldv1.NotOwner{})
	case errors.As(err, &p):
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err // no detail: it may have run
	default:
		log.Error("a call from another pod failed with an error that has no words for callers", "error", err)
		p = problem.From(err)
	}
	code, ok := codes[p.Reason]
	if !ok || p.Rejected {
		code = connect.CodeFailedPrecondition
	}
	return detailed(code, p, problemMessage(p))
}

func detailed(code connect.Code, err error, detail proto.Message) error {
	out := connect.NewError(code, errors.New(valid(err.Error())))
	d, cause := connect.NewErrorDetail(detail)
	if cause != nil {
		return fmt.Errorf("write what went wrong (%w): %w", err, cause)
	}
	out.AddDetail(d)
	return out
}

// faultOf reads what went wrong at the other process, or on the way there.
func faultOf(err error) error {
	var unsent *unsentError
	if errors.As(err, &unsent) {
		return fmt.Errorf("%w: %w", routing.ErrUnreachable, unsent.cause)
	}
	var wire *connect.Error
	if errors.As(err, &wire) {
		for _, d := range wire.Details() {
			switch m := detailOf(d).(type) {
			case *leftfoldv1.Problem:
				return problemOf(m)
			case *leftfoldv1.NotOwner:
				return &routing.NotOwnerError{Hint: routing.Remote{Epoch: m.GetEpoch(), Address: m.GetAddress()}}
			}
		}
		switch wire.Code() {
		case connect.CodePermissionDenied, connect.CodeUnauthenticated, connect.CodeUnimplemented, connect.CodeNotFound:
			// Turned away before it came to anybody.
			return fmt.Errorf("%w: %w", routing.ErrUnreachable, err)
		}
	}
	return fmt.Errorf("%w: %w", routing.ErrLost, err)
}

// detailOf is the detail, nil if it is of a kind that this release does not know.
func detailOf(d *connect.ErrorDetail) proto.Message {
	m, err := d.Value()
	if err != nil {
		return nil
	}
	return m
}

// valid is the text with what is not UTF-8 replaced: messages hold nothing else.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// unsentError is why a request was not written: no server can have run it.
type unsentError struct{ cause error }

func (e *unsentError) Error() string { return e.cause.Error() }

func (e *unsentError) Unwrap() error { return e.cause }
