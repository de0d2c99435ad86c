#!/usr/bin/env bash
# Fails when a generated file is not what hack/generate.sh would write. It
# generates into a temporary folder and compares, so it needs no git and touches
# nothing in the tree.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$repository/hack/generate.sh" "$fresh"

stale=
diff -u "$repository/api/v1alpha1/zz_generated.deepcopy.go" "$fresh/api/v1alpha1/zz_generated.deepcopy.go" || stale=1
diff -ru -x '*.proto' "$repository/api/rpc/leftfold/v1" "$fresh/api/rpc/leftfold/v1" || stale=1
diff -ru "$repository/config/crd/bases" "$fresh/config/crd/bases" || stale=1
diff -u "$repository/config/rbac/role.yaml" "$fresh/config/rbac/role.yaml" || stale=1
while IFS= read -r file; do
	diff -u "$repository/$file" "$fresh/$file" || stale=1
done < <(cd "$fresh" && find charts -type f | sort)
for crds in charts/leftfold/templates/crds charts/leftfold-crds/templates/crds; do
	# A kind that is gone would be left behind here.
	diff -rq "$repository/$crds" "$fresh/$crds" || stale=1
done
if [[ -n $stale ]]; then
	echo "verify-generated: generated files are not current (see above): run make generate" >&2
	exit 1
fi
