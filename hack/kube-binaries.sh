#!/usr/bin/env bash
# Builds the Kubernetes programs and etcd that tests and the local cluster run,
# from Go modules alone, and prints the folder that holds them on stdout.
#
#   hack/kube-binaries.sh                           kube-apiserver and etcd, what envtest needs
#   hack/kube-binaries.sh kubectl kubelet ...       these, and nothing else
#   hack/kube-binaries.sh --print                   the folder only; builds nothing
#
# Programs: etcd kube-apiserver kube-controller-manager kube-proxy
# kube-scheduler kubectl kubelet. Their versions are pinned in
# hack/tools/kubernetes/go.mod and hack/tools/etcd/go.mod.
#
#   export KUBEBUILDER_ASSETS="$(hack/kube-binaries.sh)"
#
# Builds go to ${LEFTFOLD_CACHE:-$HOME/.cache/leftfold}/kubernetes/<version>/<os>-<arch>
# and are done once: a program that is there at the pinned version is left alone,
# a new one appears whole or not at all, and two runs at once take turns. A cold
# kube-apiserver takes about five minutes on two cores, so progress goes to stderr.
#
# When KUBEBUILDER_ASSETS is set and holds every program asked for, it is used as
# it is.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kubernetes=$here/tools/kubernetes
etcd=$here/tools/etcd
known="etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet"

say() { printf 'kube-binaries: %s\n' "$*" >&2; }

print_only=
programs=()
for argument in "$@"; do
	case " $known " in
	*" $argument "*) programs+=("$argument") ;;
	*)
		if [[ $argument == --print ]]; then
			print_only=1
		else
			say "unknown program $argument; known are: $known"
			exit 2
		fi
		;;
	esac
done
if [[ ${#programs[@]} -eq 0 ]]; then
	programs=(kube-apiserver etcd)
fi

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
	missing=
	for program in "${programs[@]}"; do
		[[ -x $KUBEBUILDER_ASSETS/$program ]] || missing+=" $program"
	done
	if [[ -z $missing ]]; then
		printf '%s\n' "$KUBEBUILDER_ASSETS"
		exit 0
	fi
	say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS lacks$missing; using the build of this repository"
fi

# The workspace and flags of whoever calls must not change these builds.
export GOFLAGS=-mod=readonly GOWORK=off CGO_ENABLED=0

module_version() { (cd "$1" && go list -m -f '{{.Version}}' "$2"); }
kubernetes_version=$(module_version "$kubernetes" k8s.io/kubernetes)
etcd_version=$(module_version "$etcd" go.etcd.io/etcd/server/v3)
platform=$(go env GOOS)-$(go env GOARCH)
cache=${LEFTFOLD_CACHE:-$HOME/.cache/leftfold}
folder=$cache/kubernetes/$kubernetes_version/$platform

if [[ -n $print_only ]]; then
	printf '%s\n' "$folder"
	exit 0
fi

mkdir -p "$folder"
exec 9>"$folder/.lock"
if ! flock --nonblock 9; then
	say "another run is building in $folder; waiting for it"
	flock 9
fi

# Without a stamped version kubectl and helm cannot parse what the server tells.
kubernetes_flags() {
	local version=${kubernetes_version#v} package
	local major=${version%%.*} rest=${version#*.}
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		printf -- '-X %s.gitVersion=%s ' "$package" "$kubernetes_version"
		printf -- '-X %s.gitMajor=%s -X %s.gitMinor=%s ' "$package" "$major" "$package" "${rest%%.*}"
		printf -- '-X %s.gitTreeState=clean ' "$package"
	done
}

compile() { # program
	local program=$1 module=$kubernetes package=k8s.io/kubernetes/cmd/$1 flags
	flags="-s -w $(kubernetes_flags)"
	if [[ $program == etcd ]]; then
		module=$etcd package=go.etcd.io/etcd/server/v3 flags='-s -w'
	fi
	cd "$module"
	go build -v -trimpath -ldflags "$flags" -o "$work/$program" "$package"
}

build() { # program version
	local program=$1 version=$2 stamp=$folder/.$1.version started=$SECONDS log job
	if [[ -x $folder/$program && -f $stamp && $(<"$stamp") == "$version" ]]; then
		return
	fi
	say "building $program $version"
	log=$work/$program.log
	compile "$program" >"$log" 2>&1 &
	job=$!
	while kill -0 "$job" 2>/dev/null; do
		sleep 1
		if ((SECONDS - started > 0 && (SECONDS - started) % 20 == 0)); then
			say "$program: $((SECONDS - started)) s, $(wc -l <"$log") packages compiled"
		fi
	done
	if ! wait "$job"; then
		tail -n 30 "$log" >&2
		say "building $program $version failed"
		return 1
	fi
	mv "$work/$program" "$folder/$program"
	printf '%s\n' "$version" >"$stamp"
	say "built $program $version in $((SECONDS - started)) s"
}

work=$(mktemp -d "$folder/.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
for program in "${programs[@]}"; do
	if [[ $program == etcd ]]; then
		build "$program" "$etcd_version"
	else
		build "$program" "$kubernetes_version"
	fi
done
printf '%s\n' "$folder"
