#!/usr/bin/env bash
# Runs the pinned Helm with the arguments given, after building it from its
# module when this machine has not yet: about three minutes on two cores, once.
#
#   hack/chart-helm.sh template charts/leftfold
#   hack/chart-helm.sh --path       builds it, prints where it is, runs nothing
#
# Its version is pinned in hack/tools/helm/go.mod. It is kept outside of the
# repository, in ${LEFTFOLD_CACHE:-~/.cache/leftfold}/bin. Relative paths in
# arguments are relative to the folder of whoever calls.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
module=$here/tools/helm

# The workspace and flags of whoever calls must not change the build.
build() { (cd "$module" && GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0 nice -n 10 go "$@"); }

# Read from the file rather than asked of go, which takes longer than helm itself.
version=$(awk '$1 == "helm.sh/helm/v4" { print $2 }' "$module/go.mod")
bin=${LEFTFOLD_CACHE:-$HOME/.cache/leftfold}/bin
helm=$bin/helm-$version

if [[ ! -x $helm ]]; then
	mkdir -p "$bin"
	exec 9>"$bin/.helm.lock"
	flock 9
fi
if [[ ! -x $helm ]]; then # nor did another run build it while this one waited
	echo "building helm $version (some minutes, once)" >&2
	fresh=$(mktemp -d "$bin/.build.XXXXXX")
	trap 'rm -rf "$fresh"' EXIT
	package=helm.sh/helm/v4/internal/version
	flags="-s -w -X $package.version=$version -X $package.gitTreeState=clean"
	if ! build build -trimpath -ldflags "$flags" -o "$fresh/helm" helm.sh/helm/v4/cmd/helm >"$fresh/log" 2>&1; then
		tail -n 30 "$fresh/log" >&2
		exit 1
	fi
	mv "$fresh/helm" "$helm"
	rm -rf "$fresh"
	trap - EXIT
fi

if [[ ${1:-} == --path ]]; then
	printf '%s\n' "$helm"
	exit 0
fi
exec "$helm" "$@" 9>&-
