# Everything a contributor runs. `make` alone, or `make help`, lists it.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# A clone that belongs to somebody else makes git refuse, and go build with it.
# The version is stamped below, so nothing is lost.
export GOFLAGS := $(GOFLAGS) -buildvcs=false
# Targets call scripts that are parallel inside already.
.NOTPARALLEL:

# What `leftfold --version` and the metrics tell; "dev" outside of a git clone.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
VERSION_VARIABLE := main.version

# Binaries are static, tell nothing of the machine that built them, and are the
# same wherever the same sources are built.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X $(VERSION_VARIABLE)=$(VERSION)'

##@ Use

.PHONY: demo
demo: build ## Start the bank sample, use it, kill it hard, recover, show that nothing was lost; ends by itself
	hack/demo.sh

.PHONY: run
run: build ## The same, and leave it serving until Ctrl-C
	hack/demo.sh --serve

.PHONY: bench
bench: build ## Measure the append statement, commands in process and over HTTP on a private PostgreSQL (DURATION= RUN= PROFILE=)
	hack/bench.sh

.PHONY: demo-cluster
demo-cluster: build ## The bank on a local Kubernetes cluster: kill a pod, cut off a node, show that nothing was lost (needs root)
	hack/demo-cluster.sh

.PHONY: deploy
deploy: ## Build the images, load them into the local cluster, install or upgrade the chart
	hack/deploy.sh

##@ Local cluster

.PHONY: cluster-up
cluster-up: ## Start a local Kubernetes cluster (NODES=3), or use that of KUBECONFIG; prints the kubeconfig
	hack/test-dependencies.sh
	go run ./hack/cluster up $(if $(NODES),-nodes $(NODES))

.PHONY: cluster-down
cluster-down: ## End the local cluster and remove all of it
	go run ./hack/cluster down

##@ Build

.PHONY: build
build: ## Build bin/leftfold and bin/leftfold-operator
	@mkdir -p bin
	$(GO_BUILD) -o bin/leftfold ./runtime
	$(GO_BUILD) -o bin/leftfold-operator ./controllers

.PHONY: images
images: build ## Pack the binaries into image archives under bin/images, for clusters without a registry
	go run ./hack/image -name leftfold:dev -binary bin/leftfold -o bin/images/leftfold.tar
	go run ./hack/image -name leftfold-operator:dev -binary bin/leftfold-operator -o bin/images/leftfold-operator.tar

.PHONY: generate
generate: ## Write the generated files anew: deepcopy, CRDs
	hack/generate.sh

.PHONY: format
format: ## Format all Go code, imports grouped: standard library, others, ours
	hack/golangci-lint.sh fmt

.PHONY: clean
clean: ## Remove what was built here (not the cache of tools, see `make help`)
	rm -rf bin

##@ Check

.PHONY: test
test: ## Run every test, installing and building first what they need (PACKAGES= for some, RACE=0)
	hack/test.sh $(PACKAGES)

.PHONY: test-dependencies
test-dependencies: ## Only install and build what the tests need
	hack/test-dependencies.sh
	hack/postgres-binaries.sh
	hack/kube-binaries.sh
	hack/chart-helm.sh --path

.PHONY: verify
verify: ## Check that generated files are current, formatting, go.mod, go vet, linters, tree rules
	hack/verify.sh

.PHONY: lint
lint: ## Run the linters: API conventions and golangci-lint with the layer rules
	hack/lint-api.sh
	hack/golangci-lint.sh run

.PHONY: fuzz
fuzz: ## Run every fuzz target (DURATION=60s each, RUN= for some); what they find stays in testdata/fuzz
	DURATION='$(DURATION)' RUN='$(RUN)' hack/fuzz.sh

.PHONY: e2e
e2e: build test-dependencies ## Run the end-to-end tests on a real cluster (RUN= for some; needs root)
	hack/e2e.sh $(if $(RUN),-run '$(RUN)')

.PHONY: chaos
chaos: ## Break processes, the database, the way to it and disks under load, and check what is left (ROUNDS= SEED= DURATION= RUN=)
	ROUNDS='$(ROUNDS)' SEED='$(SEED)' DURATION='$(DURATION)' RUN='$(RUN)' hack/chaos.sh

.PHONY: failover
failover: build ## Measure what faults of a real cluster cost callers; writes bin/failover.html (ROUNDS= RUN= SEED= PAGE=; needs root)
	ROUNDS='$(ROUNDS)' RUN='$(RUN)' SEED='$(SEED)' PAGE='$(PAGE)' hack/failover.sh

##@ Help

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Tools that targets build are kept in $${LEFTFOLD_CACHE:-~/.cache/leftfold}, outside of the repository."
