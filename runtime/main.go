// Command leftfold is the data plane in one binary: the runtime, the
// development server, lint, and the client (also as kubectl leftfold).
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/leftfold/leftfold/runtime/cli"
)

// version is stamped by the build.
var version = "dev"

func main() {
	cli.Version = version
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
