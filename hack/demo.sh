#!/usr/bin/env bash
# Shows Leftfold on the bank sample and ends by itself; with --serve it leaves the
# server running until Ctrl-C. `make demo` and `make run` build the binary first.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin
go build -o bin/demo ./hack/demo
exec bin/demo "$@"
