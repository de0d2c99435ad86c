package postgres

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// array builds one parameter of the append statement: a one-dimensional array
// without NULLs in PostgreSQL's binary format (array_recv in the server's
// utils/adt/arrayfuncs.c). The driver's own encoding of slices costs a few
// allocations an element; this costs none once the buffer has grown.
type array struct {
	element uint32 // the elements' type, by its object id
	count   uint32
	buffer  []byte
}

// arrayHeader is: dimensions, has NULLs, element type, length, lower bound.
const arrayHeader = 5 * 4

// Object ids of the element types.
const (
	typeBool        = pgtype.BoolOID
	typeBytea       = pgtype.ByteaOID
	typeInt4        = pgtype.Int4OID
	typeInt8        = pgtype.Int8OID
	typeText        = pgtype.TextOID
	typeTimestamptz = pgtype.TimestamptzOID
)

func (a *array) reset(element uint32) {
	a.element, a.count = element, 0
	a.buffer = append(a.buffer[:0], make([]byte, arrayHeader)...)
}

// bytes is the finished parameter; it is valid until the next reset.
func (a *array) bytes() []byte {
	header := a.buffer[:arrayHeader]
	if a.count == 0 {
		binary.BigEndian.PutUint32(header[0:], 0)
		binary.BigEndian.PutUint32(header[8:], a.element)
		return a.buffer[:12] // no dimensions, hence neither length nor bound
	}
	binary.BigEndian.PutUint32(header[0:], 1)
	binary.BigEndian.PutUint32(header[4:], 0)
	binary.BigEndian.PutUint32(header[8:], a.element)
	binary.BigEndian.PutUint32(header[12:], a.count)
	binary.BigEndian.PutUint32(header[16:], 1)
	return a.buffer
}

func (a *array) length(n int) {
	a.count++
	a.buffer = binary.BigEndian.AppendUint32(a.buffer, uint32(n))
}

func (a *array) int4(v int32) {
	a.length(4)
	a.buffer = binary.BigEndian.AppendUint32(a.buffer, uint32(v))
}

func (a *array) int8(v int64) {
	a.length(8)
	a.buffer = binary.BigEndian.AppendUint64(a.buffer, uint64(v))
}

func (a *array) bool(v bool) {
	a.length(1)
	if v {
		a.buffer = append(a.buffer, 1)
		return
	}
	a.buffer = append(a.buffer, 0)
}

func (a *array) text(v string) {
	a.length(len(v))
	a.buffer = append(a.buffer, v...)
}

func (a *array) blob(v []byte) {
	a.length(len(v))
	a.buffer = append(a.buffer, v...)
}

// timestamp is microseconds since the year 2000, UTC.
func (a *array) timestamp(v time.Time) { a.int8(v.UnixMicro() - epoch2000) }

// epoch2000 is 2000-01-01T00:00:00Z in microseconds of Unix time.
const epoch2000 = 946_684_800_000_000
