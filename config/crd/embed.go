// Package crd carries the CustomResourceDefinitions of the five kinds inside
// the binaries, so that a definition read from a file meets the very schemas
// and rules that an API server would hold it to.
//
// It holds the generated files and nothing else: no parsing, no validation.
package crd

import "embed"

// Bases holds one file a kind, bases/leftfold.io_<plural>.yaml, each a single
// apiextensions.k8s.io/v1 CustomResourceDefinition in YAML. They are generated
// from api/v1alpha1.
//
//go:embed bases/*.yaml
var Bases embed.FS
