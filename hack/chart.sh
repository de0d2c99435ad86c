#!/usr/bin/env bash
# Checks the charts and config/ by themselves: lints both charts with the pinned
# Helm, then runs the tests in hack/chart against a real API server. The same is
# part of `make test`; this is the short way for who works on them.
#
#   hack/chart.sh [go test flags, such as -run Rights -update]
set -euo pipefail
cd "$(dirname "$0")/.."

hack/chart-helm.sh lint --strict --quiet charts/leftfold charts/leftfold-crds
go test -count=1 "$@" ./hack/chart
