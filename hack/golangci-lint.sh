#!/usr/bin/env bash
# Runs the pinned golangci-lint with the arguments given (default: run), after
# building it from its module when this machine has not yet: some minutes, once.
# It lives outside the repository and outside its go.mod: ${LEFTFOLD_CACHE}.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v2.15.0
# A linter reads only what the Go that built it can read: one binary for each.
go=$(go env GOVERSION)
bin="${LEFTFOLD_CACHE:-$HOME/.cache/leftfold}/bin"
lint="$bin/golangci-lint-$version-$go"

if [ ! -x "$lint" ]; then
	echo "building golangci-lint $version (some minutes, once)" >&2
	mkdir -p "$bin"
	fresh=$(mktemp -d "$bin/.build.XXXXXX")
	trap 'rm -rf "$fresh"' EXIT
	if ! GOBIN=$fresh GOFLAGS='' CGO_ENABLED=0 nice -n 10 go install -trimpath \
		"github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$version" >"$fresh/log" 2>&1; then
		tail -n 30 "$fresh/log" >&2
		exit 1
	fi
	mv "$fresh/golangci-lint" "$lint"
	rm -rf "$fresh"
	trap - EXIT
fi

if [ $# -eq 0 ]; then
	set -- run
fi
exec "$lint" "$@"
