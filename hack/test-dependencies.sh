#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that the tests need and this machine
# lacks: PostgreSQL's server binaries and a C compiler for the race detector.
# Does nothing, and needs no rights, when they are there. Ends with 1, after
# saying what is missing, when it cannot install them.
#
# It never creates, starts or changes a PostgreSQL server of the machine's own:
# the tests run private ones from the binaries.
set -euo pipefail

have_postgres() {
	local dir
	command -v initdb >/dev/null 2>&1 && return 0
	for dir in /usr/lib/postgresql/*/bin; do
		[ -x "$dir/initdb" ] && return 0
	done
	return 1
}

# The race detector links with cgo: a compiler and the C library's headers.
have_c_compiler() {
	echo 'int main(void){return 0;}' |
		"${CC:-gcc}" -include stdlib.h -x c -o /dev/null - >/dev/null 2>&1
}

packages=()
have_postgres || packages+=(postgresql)
have_c_compiler || packages+=(gcc libc6-dev)
command -v git >/dev/null 2>&1 || packages+=(git)
if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi

cannot() {
	echo "missing: ${packages[*]} - $1" >&2
	exit 1
}

sudo=()
command -v apt-get >/dev/null 2>&1 || cannot "install them by this system's own means (no apt-get here)"
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || cannot "install them as root (no sudo here)"
	# Asking for a password is fine at a terminal and a hang anywhere else.
	[ -t 0 ] || sudo -n true 2>/dev/null || cannot "install them as root (sudo asks for a password)"
	sudo=(sudo)
fi

# Debian's server package creates and starts a cluster when it is installed for
# the first time. We only want the binaries, so tell it not to, for as long as
# this installation runs.
no_cluster=/etc/postgresql-common/createcluster.d/leftfold-tests.conf
restore() { "${sudo[@]}" rm -f "$no_cluster"; }
trap restore EXIT
"${sudo[@]}" mkdir -p "$(dirname "$no_cluster")"
echo "create_main_cluster = false" | "${sudo[@]}" tee "$no_cluster" >/dev/null

echo "installing ${packages[*]}" >&2
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
"${apt[@]}" update >&2 || cannot "apt-get update failed"
"${apt[@]}" install -y --no-install-recommends "${packages[@]}" >&2 || cannot "apt-get install failed"
