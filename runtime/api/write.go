package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// maxPooled is the largest buffer that is kept for the next answer.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// ok answers 200 with a JSON value.
func (c *call) ok(value any) error {
	c.write(c.w, http.StatusOK, "application/json", value)
	return nil
}

// write answers with a JSON value. The value is one of this package's own wire
// types; one that cannot be encoded holds JSON from below that is none.
func (h *Handler) write(w http.ResponseWriter, code int, mediaType string, value any) {
	h.send(w, code, mediaType, func(buffer *bytes.Buffer) {
		if err := encode(buffer, value); err != nil {
			panic(err)
		}
	})
}

// send answers with what fill writes.
func (h *Handler) send(w http.ResponseWriter, code int, mediaType string, fill func(*bytes.Buffer)) {
	buffer, _ := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	fill(buffer)
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(buffer.Len()))
	w.WriteHeader(code)
	if _, err := w.Write(buffer.Bytes()); err != nil {
		h.Logger.Debug("a caller left before its answer", "error", err)
	}
	if buffer.Cap() <= maxPooled {
		buffers.Put(buffer)
	}
}

// encode writes a value as one line of JSON, with the newline. Text stays as it
// is: this is no HTML.
func encode(buffer *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// event is an event of one entity, as its caller and its readers see it.
type event struct {
	Type    string          `json:"type"`
	Version int64           `json:"version"`
	Time    time.Time       `json:"time"`
	Data    json.RawMessage `json:"data"`
}

// loggedEvent is an event with every column of the log: what a reader needs to
// check the hash chain without trusting this runtime.
type loggedEvent struct {
	Entity string `json:"entity"`
	Shard  int32  `json:"shard"`
	Seq    int64  `json:"seq"`
	event
	TypeVersion  int32     `json:"typeVersion"`
	CommandID    string    `json:"commandId"`
	RequestHash  string    `json:"requestHash"`
	Generation   int64     `json:"generation"`
	Epoch        int64     `json:"epoch"`
	Principal    string    `json:"principal"`
	RecordedTime time.Time `json:"recordedTime"`
	AggregateID  int32     `json:"aggregateId"`
	Hash         string    `json:"hash"`
}

// eventOf gives data in its canonical form: stores give keys and numbers back in
// forms of their own, and the same event has to look the same everywhere.
func eventOf(e *eventstore.Event) (event, error) {
	data, err := eventstore.AppendCanonical(make([]byte, 0, len(e.Data)), e.Data)
	if err != nil {
		return event{}, err
	}
	return event{Type: e.Type, Version: e.Version, Time: e.Meta.Time.UTC(), Data: data}, nil
}

func eventsOf(events []eventstore.Event) ([]event, error) {
	out := make([]event, len(events))
	for i := range events {
		var err error
		if out[i], err = eventOf(&events[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func loggedEventOf(e *eventstore.Event) (loggedEvent, error) {
	head, err := eventOf(e)
	return loggedEvent{
		Entity: e.Entity, Shard: e.Shard.Number, Seq: e.Seq, event: head, TypeVersion: e.TypeVersion,
		CommandID: e.CommandID, RequestHash: e.RequestHash.String(), Generation: e.Generation, Epoch: e.Epoch,
		Principal: e.Meta.Principal, RecordedTime: e.RecordedAt.UTC(), AggregateID: int32(e.Shard.Aggregate), Hash: e.Hash.String(),
	}, err
}

func loggedEventsOf(events []eventstore.Event) ([]loggedEvent, error) {
	out := make([]loggedEvent, len(events))
	for i := range events {
		var err error
		if out[i], err = loggedEventOf(&events[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}
