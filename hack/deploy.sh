#!/usr/bin/env bash
# Builds the images, loads them into the local cluster, and installs or upgrades
# the chart with them.
#
#   hack/deploy.sh [arguments for helm upgrade --install]
#
# With KUBECONFIG of another cluster, its nodes must be able to get the images by
# themselves: see hack/image/Dockerfile.
set -euo pipefail
cd "$(dirname "$0")/.."

make --no-print-directory images >&2
if [ -z "${KUBECONFIG:-}" ]; then
	KUBECONFIG=$(go run -buildvcs=false ./hack/cluster kubeconfig)
	export KUBECONFIG
fi
for image in bin/images/*.tar; do
	go run -buildvcs=false ./hack/cluster load "$image" >&2
done

# The tag stays the same, so what is in the images has to roll the operator.
content=$(sha256sum bin/images/*.tar | sha256sum | cut -c1-16)
hack/chart-helm.sh upgrade --install leftfold charts/leftfold \
	--namespace leftfold-system --create-namespace --wait --timeout 120s \
	--set image.repository=leftfold-operator --set image.tag=dev \
	--set podAnnotations.content="c$content" \
	--set runtimeImage.repository=leftfold --set runtimeImage.tag=dev \
	"$@" >&2
