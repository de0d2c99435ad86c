// Package rpc holds what goes over the wire between pods, and between operator
// and pods: protobuf messages and services in leftfold/v1, and the Go code that is
// generated from them (make generate). Both halves of the product import it.
//
// It holds no behaviour: who may call what is in [github.com/leftfold/leftfold/api/identity],
// what calls mean is in the comments of the proto files.
package rpc
