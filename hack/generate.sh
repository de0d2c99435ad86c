#!/usr/bin/env bash
# Writes the generated files: deep copies in api/, CustomResourceDefinitions in
# config/crd/bases. `make generate` runs it; hack/verify-generated.sh checks that
# the tree holds what it would write.
#
#   hack/generate.sh [ROOT]     ROOT is the tree to write to, default this one
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=${1:-$repository}
cd "$repository"

controller_gen() { go tool -modfile=hack/tools/go.mod controller-gen "$@"; }

# A kind that is gone leaves no file behind.
rm -f "$root"/config/crd/bases/*.yaml
mkdir -p "$root/config/crd/bases" "$root/api/v1alpha1"
controller_gen object paths=./api/v1alpha1 output:object:dir="$root/api/v1alpha1"
controller_gen crd paths=./api/v1alpha1 output:crd:dir="$root/config/crd/bases"
