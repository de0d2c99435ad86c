package language

import (
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// fingerprintVersion changes when the meaning of folding itself changes, which
// released versions do not do lightly: every snapshot becomes useless.
const fingerprintVersion = 1

// fingerprint covers types, state and events. The order in which types, fields
// and events are listed does not matter to folding, so it does not matter here.
func fingerprint(spec *v1alpha1.AggregateSpec) [32]byte {
	type event struct {
		Name   string
		Fields []v1alpha1.Field
		Apply  map[string]v1alpha1.Expression // JSON has its keys in order
	}
	form := struct {
		Version int
		Types   []v1alpha1.RecordType
		State   []v1alpha1.Field
		Events  []event
	}{Version: fingerprintVersion, State: foldFields(spec.State)}
	for i := range spec.Types {
		form.Types = append(form.Types, v1alpha1.RecordType{Name: spec.Types[i].Name, Fields: foldFields(spec.Types[i].Fields)})
	}
	slices.SortFunc(form.Types, func(a, b v1alpha1.RecordType) int { return strings.Compare(a.Name, b.Name) })
	for i := range spec.Events {
		e := &spec.Events[i]
		form.Events = append(form.Events, event{e.Name, foldFields(e.Fields), e.Apply})
	}
	slices.SortFunc(form.Events, func(a, b event) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.Marshal(form)
	if err != nil {
		panic("strings and bools always marshal: " + err.Error())
	}
	return sha256.Sum256(data)
}

// foldFields gives what folding knows of fields: not their checks.
func foldFields(fields []v1alpha1.Field) []v1alpha1.Field {
	out := make([]v1alpha1.Field, len(fields))
	for i := range fields {
		out[i] = v1alpha1.Field{Name: fields[i].Name, Type: fields[i].Type, Optional: fields[i].Optional}
	}
	slices.SortFunc(out, func(a, b v1alpha1.Field) int { return strings.Compare(a.Name, b.Name) })
	return out
}
