#!/usr/bin/env bash
# Breaks what a runtime stands on, under load, round after round, and checks after
# each that nothing was lost, doubled or answered from the past, and that all
# resumes by itself: hack/crash, at length. Prints the seed and, for each fault, the
# longest time to resume.
#
#   ROUNDS    of each fault (default 50)
#   SEED      of loads and moments (default: from the clock)
#   DURATION  of each fault, such as 10m, instead of ROUNDS
#   RUN       which tests, as go test -run takes it (default: all)
#   RESUME    how long after a fault's end callers may be refused or held (default 3s)
#
# Full disks need root, for a mount namespace.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/test-dependencies.sh >&2
exec go test ./hack/crash -count=1 -v -timeout 24h -run "${RUN:-.}" \
	-rounds "${ROUNDS:-50}" -seed "${SEED:-0}" -duration "${DURATION:-0}" -resume "${RESUME:-3s}"
