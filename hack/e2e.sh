#!/usr/bin/env bash
# Runs the end-to-end tests on a real cluster of several nodes, which it starts
# and removes (a local one that runs already is used and left).
#
#   hack/e2e.sh [go test flags, such as -run TestSamples -v]
#
#   CI=true or LEFTFOLD_NO_SKIP=1   a skipped test is a failure
#
# Needs root: network namespaces, containerd, kubelets.
set -euo pipefail
cd "$(dirname "$0")/.."

# All faults one after the other, five idle minutes among them.
timeout=40m

strict=()
if [ "${CI:-}" = true ] || [ "${LEFTFOLD_NO_SKIP:-}" = 1 ]; then
	strict=(-no-skip)
fi
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -buildvcs=false -o "$tools/testreport" ./hack/testreport
status=0
"$tools/testreport" "${strict[@]}" -- -tags e2e -count=1 -timeout "$timeout" "$@" ./hack/e2e || status=1
exit $status
