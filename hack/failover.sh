#!/usr/bin/env bash
# Measures what faults of a real cluster cost its callers, prints the distributions
# and writes a page with plots. Ends with 1 when a promise was not kept.
#
#   ROUNDS  of each fault (default: as many as its figures need)
#   RUN     only faults whose name matches this regular expression: kill cut deaf mute
#           loss freeze panic stall delete roll scale drain leader both alone database all
#   SEED    of the load (default: from the clock)
#   PAGE    where the page goes (default bin/failover.html)
#
# Needs root: network namespaces, containerd, kubelets. Nothing else should run.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/test-dependencies.sh >&2
mkdir -p bin
go build -buildvcs=false -o bin/failover ./hack/failover
exec bin/failover -rounds "${ROUNDS:-0}" -run "${RUN:-}" -page "${PAGE:-bin/failover.html}" ${SEED:+-seed "$SEED"}
