// Package cli is the leftfold command: the pod's entry, the development server,
// lint, and the client, which kubectl runs as a plugin too.
//
// It turns words into calls and answers into text, and holds no logic of its
// own. The client commands know the runtime through its HTTP API alone.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes, part of the contract.
const (
	exitDone    = 0
	exitRefused = 1
	exitUsage   = 2
)

// Version is stamped by the build.
var Version = "dev"

// Run runs the command line and returns the exit code. Errors are printed to
// standard error, results to standard output.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSilent):
		return exitRefused
	}
	_, _ = fmt.Fprintln(stderr, "leftfold: "+err.Error())
	var refused *refusedError
	if errors.As(err, &refused) {
		return exitRefused
	}
	return exitUsage
}

// errSilent ends with exit code 1 when all has been said already.
var errSilent = errors.New("refused")

// refusedError is anything that went wrong although the words were right.
type refusedError struct{ error }

func (e *refusedError) Unwrap() error { return e.error }

// usageError is wrong use that only the action itself can see.
type usageError struct{ error }

func wrongUse(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

func refused(err error) error {
	var usage *usageError
	if err == nil || errors.Is(err, errSilent) || errors.As(err, &usage) {
		return err
	}
	return &refusedError{err}
}

// running wraps a command's action, whose errors are refusals, while cobra's own
// errors, and a usageError, are wrong use.
func running(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error { return refused(f(cmd, args)) }
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "leftfold",
		Short:         "Event-sourced aggregates and projections, declared in YAML",
		Version:       Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	// kubectl runs a plugin by its own name; say so in the help then.
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl leftfold"}
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newDev(), newRuntime(), newLint(), newSend(), newGet(), newEvents(), newQuery(), newShards(), newProjection(), newVerify(), newBench())
	return root
}
