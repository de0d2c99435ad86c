package shard

import (
	"encoding/binary"
	"errors"

	"github.com/leftfold/leftfold/runtime/problem"
)

// The forms in which a window is stored: whole in a snapshot, one refusal or
// empty success in an outcome row. Both begin with a format version; whoever
// meets another one ignores the snapshot, or keeps the row and refuses to guess.

const (
	windowFormat  = 1
	outcomeFormat = 1
)

var errFormat = errors.New("not in a format this release knows")

const (
	flagKeyed = 1 << iota
	flagRefused
	flagAuthor // the refusal is a reject rule's
)

func appendText(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func refusalFlags(p *problem.Problem) byte {
	switch {
	case p == nil:
		return 0
	case p.Rejected:
		return flagRefused | flagAuthor
	}
	return flagRefused
}

func appendRefusal(dst []byte, p *problem.Problem) []byte {
	if p == nil {
		return dst
	}
	dst = appendText(dst, string(p.Reason))
	dst = appendText(dst, p.Detail)
	dst = appendText(dst, p.Field)
	return binary.AppendVarint(dst, p.Version)
}

// encode gives the committed records.
func (w *window) encode() []byte {
	dst := make([]byte, 1, 1+64*(len(w.recent)-w.first+len(w.older)))
	dst[0] = windowFormat
	w.each(func(r *record) {
		flags := refusalFlags(r.refusal)
		if r.keyed {
			flags |= flagKeyed
		}
		dst = append(dst, flags)
		dst = appendText(dst, r.id)
		if r.keyed {
			dst = append(dst, r.print[:]...)
		}
		dst = binary.AppendVarint(dst, r.at)
		dst = binary.AppendVarint(dst, r.version)
		dst = binary.AppendVarint(dst, r.seq)
		dst = binary.AppendVarint(dst, r.events)
		dst = appendRefusal(dst, r.refusal)
	})
	return dst
}

// decodeWindow gives the records of an encoded window, oldest first.
func decodeWindow(src []byte) ([]record, error) {
	if len(src) == 0 || src[0] != windowFormat {
		return nil, errFormat
	}
	d := decoder{src: src[1:]}
	var out []record
	for len(d.src) > 0 && !d.bad {
		flags := d.byte()
		r := record{id: d.text(), keyed: flags&flagKeyed != 0}
		if r.keyed {
			copy(r.print[:], d.take(len(r.print)))
		}
		r.at, r.version, r.seq, r.events = d.varint(), d.varint(), d.varint(), d.varint()
		r.refusal = d.refusal(flags)
		out = append(out, r)
	}
	if d.bad {
		return nil, errFormat
	}
	return out, nil
}

// encodeOutcome is what an outcome row holds: the position and the refusal.
func encodeOutcome(seq int64, p *problem.Problem) []byte {
	dst := make([]byte, 0, 64)
	dst = append(dst, outcomeFormat, refusalFlags(p))
	dst = binary.AppendVarint(dst, seq)
	return appendRefusal(dst, p)
}

func decodeOutcome(src []byte) (seq int64, p *problem.Problem, err error) {
	if len(src) < 2 || src[0] != outcomeFormat {
		return 0, nil, errFormat
	}
	d := decoder{src: src[2:]}
	seq = d.varint()
	p = d.refusal(src[1])
	if d.bad || len(d.src) != 0 {
		return 0, nil, errFormat
	}
	return seq, p, nil
}

// decoder reads the forms above; after a mistake it is bad and gives zeros.
type decoder struct {
	src []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.src) {
		d.bad, d.src = true, nil
		return nil
	}
	out := d.src[:n]
	d.src = d.src[n:]
	return out
}

func (d *decoder) byte() byte {
	b := d.take(1)
	if d.bad {
		return 0
	}
	return b[0]
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.src)
	if n <= 0 {
		d.bad, d.src = true, nil
		return 0
	}
	d.src = d.src[n:]
	return v
}

func (d *decoder) text() string {
	v, n := binary.Uvarint(d.src)
	if n <= 0 || v > uint64(len(d.src)-n) {
		d.bad, d.src = true, nil
		return ""
	}
	d.src = d.src[n:]
	return string(d.take(int(v)))
}

func (d *decoder) refusal(flags byte) *problem.Problem {
	if flags&flagRefused == 0 {
		return nil
	}
	return &problem.Problem{
		Rejected: flags&flagAuthor != 0,
		Reason:   problem.Reason(d.text()),
		Detail:   d.text(),
		Field:    d.text(),
		Version:  d.varint(),
	}
}
