#!/usr/bin/env bash
# Fetches PostgreSQL servers of the oldest and the newest supported version for
# the tests, and prints the folder that holds them, as postgres-<major>/native/bin.
#
#   hack/postgres-binaries.sh
#
# They come from npm packages that carry nothing but PostgreSQL's own programs;
# versions and checksums are pinned by hack/tools/postgres/package-lock.json. They
# are kept in ${LEFTFOLD_CACHE:-~/.cache/leftfold}/postgres and fetched anew when a
# pin changes. There are packages for Linux on amd64 only.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
pins=$here/tools/postgres
cache=${LEFTFOLD_CACHE:-$HOME/.cache/leftfold}/postgres
pin=$(sha256sum "$pins/package-lock.json")
folder=$cache/${pin:0:16}

if [[ $(uname -sm) != "Linux x86_64" ]]; then
	echo "no binaries of PostgreSQL 14 and 18 for $(uname -sm)" >&2
	exit 1
fi
if [[ ! -d $folder ]]; then
	mkdir -p "$cache"
	exec 9>"$cache/.lock"
	flock 9
fi
if [[ ! -d $folder ]]; then # nor did another run fetch them while this one waited
	echo "fetching PostgreSQL 14 and 18 (some seconds, once)" >&2
	fresh=$(mktemp -d "$cache/.fetch.XXXXXX")
	trap 'rm -rf "$fresh"' EXIT
	cp "$pins/package.json" "$pins/package-lock.json" "$fresh"
	# Scripts of packages do not run; what theirs would do is below.
	(cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
	for package in "$fresh"/node_modules/postgres-*; do
		# A package cannot hold symbolic links: it lists those of the libraries.
		(cd "$package" && node -e '
			const fs = require("fs"), path = require("path");
			for (const { source, target } of JSON.parse(fs.readFileSync("native/pg-symlinks.json"))) {
				fs.symlinkSync(path.relative(path.dirname(target), source), target);
			}')
		# The server runs as a user without rights.
		chmod -R a+rX "$package/native"
		"$package/native/bin/postgres" --version >&2
	done
	# A new folder is readable by its maker alone.
	chmod 755 "$fresh"
	mv "$fresh/node_modules" "$folder"
	rm -rf "$fresh"
	trap - EXIT
fi
printf '%s\n' "$folder"
