package eventstore

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/leftfold/leftfold/api/postgres"
	"github.com/leftfold/leftfold/api/v1alpha1"
	"github.com/leftfold/leftfold/controllers/internal/status"
)

// verdictOf says what an error of a database means for the EventStore.
func verdictOf(err error, cluster string) status.Verdict {
	var inUse *postgres.InUseError
	switch {
	case errors.As(err, &inUse):
		return status.Stalled(v1alpha1.ReasonSchemaInUse, inUseMessage(inUse, cluster))
	case errors.Is(err, postgres.ErrSchemaTooNew):
		return status.Stalled(v1alpha1.ReasonSchemaTooNew, err.Error())
	case errors.Is(err, postgres.ErrUnsuitable):
		return status.Stalled(v1alpha1.ReasonStoreUnsuitable, "The database of spec.postgres.connectionSecretRef: "+postgres.Advice(err)+".")
	default:
		return status.Progressing(v1alpha1.ReasonStoreUnreachable, "The database of spec.postgres.connectionSecretRef does not answer as it should: "+lasting(err.Error()))
	}
}

func inUseMessage(e *postgres.InUseError, cluster string) string {
	where := "another cluster's"
	if own, found := strings.CutPrefix(e.Owner, cluster+"/"); found {
		where = "this cluster's " + own
	}
	return fmt.Sprintf("spec.postgres.schema: schema %q of that database belongs to another EventStore, %s (%s). "+
		"Make an EventStore with another schema; or, if that one is gone for good, annotate this one with %s=%s to take its place.",
		e.Schema, where, e.Owner, v1alpha1.AnnotationTakeOverSchema, e.Owner)
}

// source is where a socket's own address stands in an error. Its port is another
// one each time.
var source = regexp.MustCompile(`\S+:\d+->`)

// lasting leaves out of an error's text what changes from one time to the next, so
// that the same trouble gives the same status, and line breaks.
func lasting(text string) string {
	return strings.Join(strings.Fields(source.ReplaceAllString(text, "")), " ")
}
