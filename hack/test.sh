#!/usr/bin/env bash
# Runs every test: installs and builds what they need, then one plain run of
# all packages, the store on other versions of PostgreSQL, one run under the race
# detector of those whose work is concurrency, and the end-to-end tests on a real
# cluster. Arguments are packages
# for the plain run instead of all; then there is nothing else.
#
#   CI=true or LEFTFOLD_NO_SKIP=1   a skipped test is a failure
#   RACE=0                          leave the race run out
#   E2E=0                           leave the end-to-end tests out
set -euo pipefail
cd "$(dirname "$0")/.."

# A test binary that takes longer hangs; go test then prints all goroutines.
plain_timeout=15m
# The race detector makes the slowest of them, SQLite in pure Go, about tenfold slower.
race_timeout=20m
# Where a data race would cost data: the shard's goroutine and its committer,
# the stores, the projection workers.
race_packages=(./runtime/shard/... ./runtime/eventstore/... ./runtime/projection/...)

strict=()
if [ "${CI:-}" = true ] || [ "${LEFTFOLD_NO_SKIP:-}" = 1 ]; then
	strict=(-no-skip)
fi

# missing ends the run where nothing may be skipped; elsewhere the tests that
# need it skip themselves, and the report at the end names each.
missing() {
	echo "!!!! $1" >&2
	if [ ${#strict[@]} -gt 0 ]; then
		exit 1
	fi
}

hack/test-dependencies.sh || missing "the packages above are missing: tests that need them will be skipped"

if assets=$(hack/kube-binaries.sh); then
	export KUBEBUILDER_ASSETS=$assets
else
	missing "kube-apiserver and etcd could not be built: tests against a real API server will be skipped"
fi

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
go build -buildvcs=false -o "$tools/testreport" ./hack/testreport

status=0
if [ $# -gt 0 ]; then
	echo "== go test $*"
	"$tools/testreport" "${strict[@]}" -- -count=1 -timeout "$plain_timeout" "$@" || status=1
	exit $status
fi

echo "== go test, all packages"
"$tools/testreport" "${strict[@]}" -- -count=1 -timeout "$plain_timeout" ./... || status=1

# What only a build can do that breaks itself on demand.
echo
echo "== go test -tags faults, ./runtime/server"
"$tools/testreport" "${strict[@]}" -- -tags faults -count=1 -timeout "$plain_timeout" \
	-run 'TestAShardThatPanics|TestACommandThatMakesItsShardPanic|TestAFailedShard' ./runtime/server || status=1

# The oldest and the newest PostgreSQL that are supported; all else here runs on
# this machine's own.
if servers=$(hack/postgres-binaries.sh); then
	for server in "$servers"/postgres-*; do
		echo
		echo "== go test, the store and projections on ${server##*/}"
		export LEFTFOLD_TEST_POSTGRES_BIN=$server/native/bin
		"$tools/testreport" "${strict[@]}" -- -count=1 -timeout "$plain_timeout" \
			-run 'TestTheServerIsThatOfTheBinaries|TestConformance' ./api/postgres/pgtest ./runtime/eventstore/postgres || status=1
		"$tools/testreport" "${strict[@]}" -- -count=1 -timeout "$plain_timeout" \
			-skip SQLite ./runtime/projection/... || status=1
		unset LEFTFOLD_TEST_POSTGRES_BIN
	done
else
	missing "PostgreSQL 14 and 18 could not be fetched: the store is not tested on them"
fi

# What the simulation is worth: it finds every guard of the protocol missing.
echo
echo "== go test -tags faults, guards taken out one at a time"
"$tools/testreport" "${strict[@]}" -- -tags faults -count=1 -timeout "$plain_timeout" -v \
	-run 'RemovedGuard' ./runtime/simulation ./runtime/projection || status=1

if [ "${RACE:-1}" != 0 ]; then
	echo
	echo "== go test -race, ${race_packages[*]}"
	CGO_ENABLED=1 "$tools/testreport" "${strict[@]}" -- -race -count=1 -timeout "$race_timeout" "${race_packages[@]}" || status=1
fi

if [ "${E2E:-1}" != 0 ]; then
	echo
	echo "== end to end, on a cluster of its own"
	if [ "$(id -u)" -eq 0 ]; then
		hack/e2e.sh || status=1
	else
		missing "the end-to-end tests need root, for network namespaces and kubelets: skipped"
	fi
fi
exit $status
