#!/usr/bin/env bash
# Writes the generated files: deep copies in api/, messages and services of
# api/rpc, CustomResourceDefinitions in config/crd/bases, the operator's role in
# config/rbac, and the parts of charts/ that follow from elsewhere. `make generate` runs it; hack/verify-generated.sh
# checks that the tree holds what it would write.
#
#   hack/generate.sh [ROOT]     ROOT is the tree to write to, default this one
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=${1:-$repository}
messages=api/rpc/leftfold/v1
mkdir -p "$root/api/v1alpha1" "$root/$messages" "$root/config/crd/bases"
# Beside the tree's own folders, so that files move into place whole.
fresh=$(mktemp -d "$root/config/crd/.generate.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
cd "$repository"

controller_gen() { go tool -modfile=hack/tools/go.mod controller-gen "$@"; }
controller_gen object paths=./api/v1alpha1 output:object:dir="$fresh/api"
controller_gen crd paths=./api/v1alpha1 output:crd:dir="$fresh/bases"
# From the working tree's markers, which must stand in comments of their own: in
# that of a type the generator passes over them without a word.
controller_gen rbac:roleName=leftfold-operator paths=./controllers/... output:rbac:dir="$fresh/rbac"
go tool -modfile=hack/tools/buf/go.mod buf generate api/rpc --template api/rpc/buf.gen.yaml -o "$fresh/rpc"

mv "$fresh/api/zz_generated.deepcopy.go" "$root/api/v1alpha1/"
for old in "$root"/config/crd/bases/*.yaml; do
	# A kind that is gone leaves no file behind.
	[[ -e $fresh/bases/${old##*/} ]] || rm -f "$old"
done
mv "$fresh"/bases/*.yaml "$root/config/crd/bases/"
rm -rf "${root:?}/$messages"/*.pb.go "${root:?}/$messages/leftfoldv1connect"
mv "$fresh/rpc/leftfold/v1"/* "$root/$messages/"

mkdir -p "$root/config/rbac"
mv "$fresh/rbac/role.yaml" "$root/config/rbac/"

# What the charts have from elsewhere: definitions, rules, schema and table of values.
go run ./hack/chart "$root"
