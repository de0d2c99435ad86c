package table

import "testing"

// sized are Rules whose rows are their size.
type sized struct{ Rules }

func (sized) Size(row Content) int { return row.(int) }

func TestAWriterRemembersNoMoreBytesThanItMay(t *testing.T) {
	w := &writer{target: &Target{Rules: sized{}}}
	w.Forget()
	commit := func(size int, keys ...int) {
		w.staged = map[any]*slot{}
		for _, k := range keys {
			w.staged[k] = &slot{key: k, known: known{row: size, exists: true}}
		}
		w.Committed()
		sum := 0
		for _, k := range w.remembered {
			sum += rowBytes + k.row.(int)
		}
		for _, k := range keys {
			if was, ok := w.remembered[k]; ok && was.row != size {
				t.Errorf("key %d is remembered as it was: %v", k, was)
			}
		}
		if sum > maxRememberedBytes || sum != w.bytes {
			t.Errorf("%d bytes are remembered, booked are %d, at most %d may be", sum, w.bytes, maxRememberedBytes)
		}
	}
	const large = maxRememberedBytes / 5
	commit(large, 1, 2)
	commit(large, 3, 4)
	if len(w.remembered) != 4 {
		t.Errorf("%d rows are remembered, four have room", len(w.remembered))
	}
	commit(10, 1, 2) // what is known of a key takes the place of what was
	if len(w.remembered) != 4 || w.remembered[1].row != 10 {
		t.Errorf("remembered are %v", w.remembered)
	}
	commit(large, 5, 6, 7, 8, 9, 10)
	if len(w.remembered) == 0 || w.remembered[3].row != nil {
		t.Errorf("remembered are %d rows, want some, and of the last batch alone", len(w.remembered))
	}
	commit(maxRememberedBytes, 11)
	if len(w.remembered) != 0 {
		t.Error("a row that is larger than all may be is remembered")
	}
}
