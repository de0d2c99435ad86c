#!/usr/bin/env bash
# Runs every fuzz target of the tree, one after the other, and ends with 1 when one
# of them found something: the input is then in testdata/fuzz of its package, where
# plain `go test` runs it too, and is to be kept with what mends it.
#
#   DURATION=60s      how long each target is fuzzed, after its seeds
#   RUN=FuzzCursor    only targets whose name matches this regular expression
set -euo pipefail
cd "$(dirname "$0")/.."

duration=${DURATION:-60s}
found=()
targets=0
while IFS=: read -r file function; do
	target=${function#func }
	if ! [[ $target =~ ${RUN:-.} ]]; then
		continue
	fi
	targets=$((targets + 1))
	echo "== $target in $(dirname "$file"), $duration"
	if ! go test "./$(dirname "$file")" -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -timeout 0; then
		found+=("$target in $(dirname "$file")")
	fi
done < <(git grep --untracked -oE '^func Fuzz[A-Za-z0-9_]+' -- '*_test.go')

if [ "$targets" -eq 0 ]; then
	echo "no fuzz target matches RUN=${RUN:-}" >&2
	exit 1
fi
if [ ${#found[@]} -gt 0 ]; then
	printf 'FOUND by %s\n' "${found[@]}" >&2
	exit 1
fi
echo "nothing found by $targets targets"
