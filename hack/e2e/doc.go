// Package e2e holds the end-to-end tests: Leftfold installed by its chart on a real
// Kubernetes cluster of several nodes, used by kubectl and HTTP, and damaged under
// load. make e2e runs them (hack/e2e.sh); go test ./... leaves them out, since they
// need root and the machine to themselves.
//
// Every fault is a real one: processes killed by signal, pods deleted, nodes
// drained, operators killed. After each, the books of the load are compared with
// all that the runtime tells.
package e2e
