package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// appendName is the prepared statement's name on every append connection.
const appendName = "leftfold_append"

// appendSQL is the whole append. What each part does:
//
//   - batch: what the caller sends, a row a shard.
//   - held: locks the shard rows that match, in the order of their key. The
//     final SELECT reads all of held before anything is written, and every
//     append locks in the same order, so that two of them never wait for each
//     other in a circle. Whoever had to wait for a row tests it again as it is
//     then (READ COMMITTED does that for locked rows): a claim in between or
//     a floor that was raised makes the row not match, and the batch is refused.
//   - moved: moves the heads.
//   - recorded, answered: the rows, driven by what moved and held give back, so
//     that a refused batch writes nothing.
//
// A batch that writes nothing is only compared, without a lock: it asks whether
// the lease held when the statement began.
const appendSQL = `
WITH batch AS MATERIALIZED (
	SELECT * FROM unnest($1::int4[], $2::int4[], $3::int4[], $4::int8[], $5::bytea[], $6::int8[], $7::bytea[],
		$8::int8[], $9::bytea[], $10::timestamptz[], $11::bool[], $12::int8[])
	AS b (ordinal, aggregate, shard, epoch, token, head, head_hash, new_head, new_hash, new_time, writes, generation)
), held AS MATERIALIZED (
	SELECT b.ordinal, s.aggregate, s.shard, s.epoch, s.head, b.new_head, b.new_hash, b.new_time
	FROM batch b JOIN shard s ON s.aggregate = b.aggregate AND s.shard = b.shard
	WHERE b.writes AND s.owner <> '' AND s.epoch = b.epoch AND s.token = b.token AND s.head = b.head AND s.head_hash = b.head_hash
		AND s.floor <= b.generation
	ORDER BY s.aggregate, s.shard
	FOR NO KEY UPDATE OF s
), moved AS (
	UPDATE shard s SET head = h.new_head, head_hash = h.new_hash, head_time = h.new_time
	FROM held h
	WHERE s.aggregate = h.aggregate AND s.shard = h.shard AND h.new_head > h.head
	RETURNING h.ordinal, s.aggregate, s.shard, s.epoch
), recorded AS (
	INSERT INTO event (aggregate, shard, seq, entity, version, epoch, type, type_version, data, meta, command_id,
		request_hash, generation, recorded_at, hash)
	SELECT m.aggregate, m.shard, e.seq, e.entity, e.version, m.epoch, e.type, e.type_version, e.data::jsonb,
		e.meta::jsonb, e.command_id, e.request_hash, e.generation, e.recorded_at, e.hash
	FROM moved m JOIN unnest($13::int4[], $14::int8[], $15::text[], $16::int8[], $17::text[], $18::int4[], $19::text[],
		$20::text[], $21::text[], $22::bytea[], $23::int8[], $24::timestamptz[], $25::bytea[])
	AS e (ordinal, seq, entity, version, type, type_version, data, meta, command_id, request_hash, generation,
		recorded_at, hash) ON e.ordinal = m.ordinal
), answered AS (
	INSERT INTO outcome (aggregate, entity, command_id, request_hash, version, answer, time)
	SELECT h.aggregate, o.entity, o.command_id, o.request_hash, o.version, o.answer, o.time
	FROM held h JOIN unnest($26::int4[], $27::text[], $28::text[], $29::bytea[], $30::int8[], $31::bytea[],
		$32::timestamptz[])
	AS o (ordinal, entity, command_id, request_hash, version, answer, time) ON o.ordinal = h.ordinal
	ON CONFLICT (aggregate, entity, command_id) DO UPDATE SET request_hash = excluded.request_hash,
		version = excluded.version, answer = excluded.answer, time = excluded.time
)
SELECT ordinal FROM held
UNION ALL
SELECT b.ordinal FROM batch b JOIN shard s ON s.aggregate = b.aggregate AND s.shard = b.shard
WHERE NOT b.writes AND s.owner <> '' AND s.epoch = b.epoch AND s.token = b.token AND s.head = b.head AND s.head_hash = b.head_hash`

// appendTypes are the element types of appendSQL's parameters, in order.
var appendTypes = [...]uint32{
	typeInt4, typeInt4, typeInt4, typeInt8, typeBytea, typeInt8, typeBytea,
	typeInt8, typeBytea, typeTimestamptz, typeBool, typeInt8,

	typeInt4, typeInt8, typeText, typeInt8, typeText, typeInt4, typeText,
	typeText, typeText, typeBytea, typeInt8, typeTimestamptz, typeBytea,

	typeInt4, typeText, typeText, typeBytea, typeInt8, typeBytea, typeTimestamptz,
}

// binaryFormat asks for, and announces, the binary form of every value.
var binaryFormat = []int16{1}

// appendStatement holds the parameters of one execution; it is reused.
type appendStatement struct {
	columns [len(appendTypes)]array
	values  [len(appendTypes)][]byte
	scratch []byte
}

// fill encodes the batches; a batch's ordinal is its place in the slice.
func (a *appendStatement) fill(batches []*eventstore.Batch) error {
	for i, t := range appendTypes {
		a.columns[i].reset(t)
	}
	for i, b := range batches {
		if err := a.add(int32(i), b); err != nil {
			return err
		}
	}
	for i := range a.columns {
		a.values[i] = a.columns[i].bytes()
	}
	return nil
}

func (a *appendStatement) add(ordinal int32, b *eventstore.Batch) error {
	newHead, newHash, newTime := b.Head, b.HeadHash, time.Time{}
	if n := len(b.Events); n > 0 {
		last := &b.Events[n-1]
		newHead, newHash, newTime = last.Seq, last.Hash, last.RecordedAt
	}
	c := a.columns[0:12]
	c[0].int4(ordinal)
	c[1].int4(int32(b.Lease.Shard.Aggregate))
	c[2].int4(b.Lease.Shard.Number)
	c[3].int8(b.Lease.Epoch)
	c[4].blob(b.Lease.Token[:])
	c[5].int8(b.Head)
	c[6].blob(b.HeadHash[:])
	c[7].int8(newHead)
	c[8].blob(newHash[:])
	c[9].timestamp(newTime)
	c[10].bool(len(b.Events) > 0 || len(b.Outcomes) > 0)
	c[11].int8(b.Generation())
	for i := range b.Events {
		if err := a.addEvent(ordinal, &b.Events[i]); err != nil {
			return err
		}
	}
	for i := range b.Outcomes {
		a.addOutcome(ordinal, &b.Outcomes[i])
	}
	return nil
}

func (a *appendStatement) addEvent(ordinal int32, e *eventstore.Event) error {
	meta, err := appendMeta(a.scratch[:0], e.Meta)
	if err != nil {
		return err
	}
	a.scratch = meta
	c := a.columns[12:25]
	c[0].int4(ordinal)
	c[1].int8(e.Seq)
	c[2].text(e.Entity)
	c[3].int8(e.Version)
	c[4].text(e.Type)
	c[5].int4(e.TypeVersion)
	c[6].blob(e.Data)
	c[7].blob(meta)
	c[8].text(e.CommandID)
	c[9].blob(e.RequestHash[:])
	c[10].int8(e.Generation)
	c[11].timestamp(e.RecordedAt)
	c[12].blob(e.Hash[:])
	return nil
}

func (a *appendStatement) addOutcome(ordinal int32, o *eventstore.Outcome) {
	c := a.columns[25:32]
	c[0].int4(ordinal)
	c[1].text(o.Entity)
	c[2].text(o.CommandID)
	c[3].blob(o.RequestHash[:])
	c[4].int8(o.Version)
	c[5].blob(o.Answer)
	c[6].timestamp(o.Time)
}

// metaTime is RFC 3339 in UTC with all six digits.
const metaTime = "2006-01-02T15:04:05.000000Z"

var errMeta = errors.New("meta: the time's year is not 1 to 9999, or the principal is not UTF-8")

// appendMeta writes the meta column.
func appendMeta(dst []byte, m eventstore.Meta) ([]byte, error) {
	t := m.Time.UTC()
	if t.Year() < 1 || t.Year() > 9999 || !utf8.ValidString(m.Principal) {
		return dst, errMeta
	}
	dst = append(dst, `{"time":"`...)
	dst = t.AppendFormat(dst, metaTime)
	dst = append(dst, '"')
	if m.Principal != "" {
		principal, err := json.Marshal(m.Principal)
		if err != nil {
			return dst, err
		}
		dst = append(append(dst, `,"principal":`...), principal...)
	}
	return append(dst, '}'), nil
}

// What appendMeta writes comes back so, without a principal.
const (
	metaHead = `{"time": "`
	metaTail = `"}`
)

// readMeta reads the meta column.
func readMeta(text []byte) (eventstore.Meta, error) {
	if rest, ok := bytes.CutPrefix(text, []byte(metaHead)); ok && len(rest) == len(metaTime)+len(metaTail) {
		if at, err := time.Parse(time.RFC3339Nano, string(rest[:len(metaTime)])); err == nil && string(rest[len(metaTime):]) == metaTail {
			return eventstore.Meta{Time: at.UTC()}, nil
		}
	}
	var meta struct {
		Time      time.Time `json:"time"`
		Principal string    `json:"principal"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return eventstore.Meta{}, fmt.Errorf("meta: %w", err)
	}
	return eventstore.Meta{Time: meta.Time.UTC(), Principal: meta.Principal}, nil
}

// execute runs the statement and waits for its end, whatever happens to any
// caller: without a context there is nothing that could cancel it. It tells
// which ordinals matched. Their rows are durable only if err is nil: the server
// sends the rows before it commits.
func (a *appendStatement) execute(conn *pgconn.PgConn, batches int) (matched []bool, err error) {
	state := stateOf(conn)
	warned := state.warnings.Load()
	matched = make([]bool, batches)
	result := conn.ExecPrepared(noContext, appendName, a.values[:], binaryFormat, binaryFormat)
	for result.NextRow() {
		row := result.Values()
		if len(row) != 1 || len(row[0]) != 4 {
			continue // not the statement's shape; Close below tells why
		}
		if ordinal := binary.BigEndian.Uint32(row[0]); ordinal < uint32(batches) {
			matched[ordinal] = true
		}
	}
	if _, err := result.Close(); err != nil {
		return nil, err
	}
	if state.warnings.Load() != warned {
		return nil, &warningError{fmt.Sprint(state.lastWarning.Load())}
	}
	return matched, nil
}

// warningError: the statement succeeded with a warning, such as "canceling wait
// for synchronous replication": it is committed here and may be lost with here.
type warningError struct{ text string }

func (e *warningError) Error() string { return "committed with a warning: " + e.text }
