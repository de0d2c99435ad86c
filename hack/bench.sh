#!/usr/bin/env bash
# Measures the append statement, commands in process and over HTTP, a hot entity
# and a long history, on a private PostgreSQL and on SQLite, in one run. DURATION
# (default 10s) is how long each part takes; STORE and RUN pick stores and parts;
# PROFILE names CPU profiles: FILE.process and FILE.replay are written.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/test-dependencies.sh >&2
mkdir -p bin
go build -o bin/bench ./hack/bench
exec bin/bench --duration "${DURATION:-10s}" --store "${STORE:-postgres,sqlite}" --run "${RUN:-process,http,hot,history}" --profile "${PROFILE:-}"
