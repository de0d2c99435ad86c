// Package simulation runs the data plane in virtual time and breaks what can
// break: several hosts on one store, clients, an operator. It is a test harness
// and no part of the product.
package simulation
