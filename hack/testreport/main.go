// Command testreport runs `go test -json` and tells a reader what happened:
// one line a package while it runs, then what tests measured, every skip with its
// reason, every failure in full, the slowest tests and the totals.
//
//	go run ./hack/testreport [-no-skip] -- -race -timeout 10m ./...
//
// Everything after -- goes to go test as it is. It ends with 1 when a test or
// a build failed, when no test ran at all, and, with -no-skip, when a test
// skipped itself; with 2 on wrong use. It must never turn a failed run into a
// success: whatever it does not understand is printed, and go test's own exit
// status counts beside what was read.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// interruptGrace is how long go test may take to stop its test binaries after
// an interrupt before it is killed.
const interruptGrace = 20 * time.Second

func main() {
	noSkip := flag.Bool("no-skip", false, "a skipped test is a failure")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: testreport [-no-skip] -- <arguments of go test>")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	report, err := run(ctx, os.Stdout, flag.Args())
	stop()
	if report == nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	succeeded := report.Summarize(os.Stdout, *noSkip, err)
	if err := keepFailures(report, *noSkip, os.Getenv(failuresVariable)); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		succeeded = false
	}
	if !succeeded {
		os.Exit(1)
	}
}

// failuresVariable names a file to which every failure is appended, in full, for
// whoever prints them once more where a long log ends.
const failuresVariable = "LEFTFOLD_TEST_FAILURES"

// keepFailures appends the failures, and with noSkip the skips, to the file;
// without a path it does nothing.
func keepFailures(report *Report, noSkip bool, path string) error {
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("keep the failures: %w", err)
	}
	if noSkip {
		report.writeSkips(file, noSkip)
	}
	report.writeFailures(file)
	if err := file.Close(); err != nil {
		return fmt.Errorf("keep the failures: %w", err)
	}
	return nil
}

// run starts go test with args and reads it to its end. The report is nil when
// go test could not be started; otherwise the error is what go test ended
// with.
func run(ctx context.Context, progress io.Writer, args []string) (*Report, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = interruptGrace
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("pipe from go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start go test: %w", err)
	}
	report := NewReport(progress, modulePath(ctx))
	readErr := report.Read(stdout)
	return report, errors.Join(readErr, cmd.Wait())
}

// modulePath is cut from package names so that lines stay short; empty when
// the module cannot be told, and then names stay whole.
func modulePath(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "go", "list", "-m").Output()
	if err != nil {
		return ""
	}
	return string(out)
}
