#!/usr/bin/env bash
# Runs every check that needs no test environment, all of them even when one
# fails, and names the failed ones at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()
check() {
	local name=$1 began=$SECONDS
	shift
	echo "== $name"
	if "$@"; then
		echo "   ok ($((SECONDS - began)) s)"
	else
		echo "   FAILED ($((SECONDS - began)) s)"
		failed+=("$name")
	fi
}

gofmt_clean() {
	local unformatted
	unformatted=$(git ls-files --cached --others --exclude-standard -- '*.go' |
		while IFS= read -r file; do [ ! -f "$file" ] || gofmt -l "$file"; done)
	[ -z "$unformatted" ] && return 0
	printf 'not formatted, run gofmt -w:\n%s\n' "$unformatted"
	return 1
}

check "source tree" hack/verify-tree.sh
check "gofmt" gofmt_clean
check "go.mod is tidy" go mod tidy -diff
check "generated files are current" hack/verify-generated.sh
check "go vet" go vet -tags e2e ./...
check "API conventions" hack/lint-api.sh
check "messages between pods" go tool -modfile=hack/tools/buf/go.mod buf lint api/rpc
check "golangci-lint" hack/golangci-lint.sh run

if [ ${#failed[@]} -gt 0 ]; then
	printf '\nFAILED: %s\n' "$(IFS=,; echo "${failed[*]}")"
	exit 1
fi
printf '\nall checks passed\n'
