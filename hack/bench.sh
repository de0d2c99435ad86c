#!/usr/bin/env bash
# Measures the append statement, commands in process and HTTP commands on a
# private PostgreSQL, in one run. DURATION (default 10s) is how long each part
# takes; RUN (default process,http) picks parts; PROFILE names a file for the CPU
# profile of the part in process.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/test-dependencies.sh >&2
mkdir -p bin
go build -o bin/bench ./hack/bench
exec bin/bench --duration "${DURATION:-10s}" --run "${RUN:-process,http}" --profile "${PROFILE:-}"
