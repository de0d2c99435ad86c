#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that the tests need and this machine
# lacks: PostgreSQL's server binaries, PgBouncer, npm for PostgreSQL's other
# versions, a C compiler for the race detector, and what the local cluster's nodes
# are made of (hack/cluster). Does nothing, and
# needs no rights, when they are there. Ends with 1, after saying what is
# missing, when it cannot install them.
#
# It never creates, starts, enables or changes a server of the machine's own, be
# it PostgreSQL's, PgBouncer's or containerd's: the tests run private ones from
# the binaries.
set -euo pipefail

# Programs that are for root stand where a plain user's PATH does not look.
PATH=$PATH:/usr/sbin:/sbin

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

have() { command -v "$1" >/dev/null 2>&1; }

# A containerd of Docker's packages serves as well, and brings its own runc;
# Debian's next to it would be a conflict.
have_cni() {
	[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ]
}

packages=()
have_postgres || packages+=(postgresql)
have pgbouncer || packages+=(pgbouncer)
have npm || packages+=(npm)
have_c_compiler || packages+=(gcc libc6-dev)
have git || packages+=(git)
have containerd || packages+=(containerd)
have runc || packages+=(runc)
have_cni || packages+=(containernetworking-plugins)
have nft || packages+=(nftables)
have conntrack || packages+=(conntrack)
have ip || packages+=(iproute2)
have nsenter || packages+=(util-linux)
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

# Debian's server package creates and starts a PostgreSQL cluster when it is
# installed for the first time, and those of containerd and PgBouncer start a
# service now and at each boot. We only want the binaries, so tell them not to, for as long as this
# installation runs. A policy that is there already is the machine's own: some
# image builders and containers have one, and it forbids.
no_cluster=/etc/postgresql-common/createcluster.d/leftfold-tests.conf
no_start=/usr/sbin/policy-rc.d
undo=("$no_cluster")
restore() { "${sudo[@]}" rm -f "${undo[@]}"; }
trap restore EXIT
"${sudo[@]}" mkdir -p "$(dirname "$no_cluster")"
echo "create_main_cluster = false" | "${sudo[@]}" tee "$no_cluster" >/dev/null
if [ ! -e "$no_start" ]; then
	undo+=("$no_start")
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$no_start" >/dev/null
	"${sudo[@]}" chmod 755 "$no_start"
fi

echo "installing ${packages[*]}" >&2
apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
"${apt[@]}" update >&2 || cannot "apt-get update failed"
"${apt[@]}" install -y --no-install-recommends "${packages[@]}" >&2 || cannot "apt-get install failed"

# The policy forbids to start a service, not to enable it for the next boot.
for service in containerd pgbouncer; do
	if [[ " ${packages[*]} " == *" $service "* ]] && have systemctl; then
		"${sudo[@]}" systemctl --no-reload disable "$service.service" >/dev/null 2>&1 || true
	fi
done
