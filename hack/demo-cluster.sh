#!/usr/bin/env bash
# Shows Leftfold on a real local Kubernetes cluster and ends by itself. Needs root
# for network namespaces, containerd and kubelets; installs and builds what is
# missing, once.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/test-dependencies.sh
mkdir -p bin
go build -o bin/demo-cluster ./hack/democluster
exec bin/demo-cluster
