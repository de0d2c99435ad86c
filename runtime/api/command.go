package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/runtime/eventstore"
	"github.com/leftfold/leftfold/runtime/problem"
	"github.com/leftfold/leftfold/runtime/shard"
)

const (
	keyHeader    = "Idempotency-Key"
	matchHeader  = "If-Match"
	replayHeader = "Idempotent-Replay"
	// maxKey is the most characters that an idempotency key may have.
	maxKey = 128
)

func (c *call) handleCommand() error {
	aggregate, command := c.variables[0], shard.Command{Entity: c.variables[1], Name: c.variables[2]}
	if err := checkEntity(command.Entity); err != nil {
		return err
	}
	if _, err := c.parameters(nil); err != nil {
		return err
	}
	var err error
	if command.ID, command.Keyed, err = key(c.r.Header); err != nil {
		return err
	}
	if command.Body, err = c.body(); err != nil {
		return err
	}
	if command.Expect, err = expectation(c.r.Header); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), c.CommandTimeout)
	defer cancel()
	c.command = true
	answer, err := c.Aggregates.Handle(ctx, aggregate, command)
	if err != nil {
		return err
	}
	return c.answer(answer)
}

// answer writes the answer to a command, the one that is written most:
//
//	{"entity":"...","version":1,"position":"...","events":[{"type":"...","version":1,"time":"...","data":{}}]}
//
// It is put together by hand. Encoding it by reflection checked the data of each
// event once more, and was a third of what the handler took over HTTP.
func (c *call) answer(a shard.Answer) error {
	c.owe(answerBytes(a.Events))
	var at eventstore.Position
	at.Set(a.Shard, a.Seq)
	position, err := at.Encode()
	if err != nil {
		return err
	}
	if a.Replay {
		c.w.Header().Set(replayHeader, "true")
	}
	c.send(c.w, http.StatusOK, "application/json", func(buffer *bytes.Buffer) {
		b := append(buffer.AvailableBuffer(), `{"entity":`...)
		b = appendText(b, a.Entity)
		b = strconv.AppendInt(append(b, `,"version":`...), a.Version, 10)
		b = appendText(append(b, `,"position":`...), position)
		b = append(b, `,"events":[`...)
		for i := range a.Events {
			e := &a.Events[i]
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(append(b, `{"type":`...), e.Type)
			b = strconv.AppendInt(append(b, `,"version":`...), e.Version, 10)
			b = append(b, `,"time":"`...)
			b = e.Meta.Time.UTC().AppendFormat(b, time.RFC3339Nano)
			b = append(b, `","data":`...)
			if b, err = eventstore.AppendCanonical(b, e.Data); err != nil {
				panic(err)
			}
			b = append(b, '}')
		}
		buffer.Write(append(b, "]}\n"...))
	})
	return nil
}

// appendText appends a JSON string. Text stays as it is: this is no HTML.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			var escaped bytes.Buffer
			if err := encode(&escaped, text); err != nil {
				panic(err)
			}
			return append(b, bytes.TrimSuffix(escaped.Bytes(), []byte{'\n'})...)
		}
	}
	b = append(append(b, '"'), text...)
	return append(b, '"')
}

// key reads the idempotency key; without one it makes an id, which lets the
// command be sent on inside Leftfold more than once and run once.
func key(h http.Header) (id string, keyed bool, err error) {
	values := h.Values(keyHeader)
	if len(values) == 0 {
		return rand.Text(), false, nil
	}
	id = values[0]
	valid := len(values) == 1 && len(id) >= 1 && len(id) <= maxKey
	for i := 0; valid && i < len(id); i++ {
		valid = '!' <= id[i] && id[i] <= '~'
	}
	if !valid {
		return "", true, problem.On(problem.InvalidParameter, keyHeader, "must be given once, with 1 to %d visible ASCII characters", maxKey)
	}
	return id, true, nil
}

// expectation reads If-Match: "3" is that version, "0" no events, * some.
func expectation(h http.Header) (shard.Expectation, error) {
	values := h.Values(matchHeader)
	if len(values) == 0 {
		return shard.Expectation{}, nil
	}
	text := values[0]
	if len(values) == 1 && text == "*" {
		return shard.Expectation{Kind: shard.ExpectSome}, nil
	}
	if len(values) == 1 && len(text) > 2 && strings.HasPrefix(text, `"`) && strings.HasSuffix(text, `"`) {
		if version, err := decimal(text[1 : len(text)-1]); err == nil {
			return shard.Expectation{Kind: shard.ExpectVersion, Version: version}, nil
		}
	}
	return shard.Expectation{}, problem.On(problem.InvalidParameter, matchHeader, `must be one version in quotes, such as "3" ("0": no events), or *`)
}

// body reads a JSON body of at most MaxBody bytes; how it goes on is the
// behaviour's to say.
func (c *call) body() ([]byte, error) {
	given := c.r.Header.Get("Content-Type")
	if given == "application/json" { // what nearly all send
		return c.bytes()
	}
	if mediaType, _, err := mime.ParseMediaType(given); err != nil || mediaType != "application/json" {
		return nil, problem.New(problem.UnsupportedMediaType, "the body must be application/json, not %q", given)
	}
	return c.bytes()
}
