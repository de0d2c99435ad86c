#!/usr/bin/env bash
# Measures what faults of a real cluster cost its callers, prints the distributions
# and writes a page with plots. Ends with 1 when a promise was not kept.
#
#   ROUNDS  of each fault (default: as many as its figures need)
#   RUN     only faults whose name matches this regular expression: none kill cut deaf mute
#           loss freeze panic stall delete roll scale drain leader both alone database all
#   SEED    of the load (default: from the clock)
#   PAGE    where the page goes (default bin/failover.html)
#
# The cluster is in memory: PostgreSQL has the disk to itself, which is not to wait
# for what etcd and three containerds write when a container starts.
#
# Needs root: network namespaces, containerd, kubelets. Nothing else should run.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/test-dependencies.sh >&2
mkdir -p bin
go build -buildvcs=false -o bin/failover ./hack/failover
export LEFTFOLD_CLUSTER="${LEFTFOLD_CLUSTER:-/dev/shm/leftfold}"
exec bin/failover -rounds "${ROUNDS:-0}" -run "${RUN:-}" -page "${PAGE:-bin/failover.html}" ${SEED:+-seed "$SEED"}
