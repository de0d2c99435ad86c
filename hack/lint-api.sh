#!/usr/bin/env bash
# Holds the API types to the conventions of Kubernetes, with the linter that is
# pinned in hack/tools/apilint. Exceptions and their reasons: rules.go there.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$repository/hack/tools/apilint"
exec go run . -C "$repository" ./api/v1alpha1
