package server

import (
	"testing"
	"testing/fstest"
)

func TestEntitiesTakeAQuarterOfTheContainersMemory(t *testing.T) {
	for name, test := range map[string]struct {
		file, text string
		want       int64
	}{
		"version 2":                    {"memory.max", "268435456\n", 64 << 20},
		"version 2 without a limit":    {"memory.max", "max\n", 0},
		"version 1":                    {"memory/memory.limit_in_bytes", "536870912\n", 128 << 20},
		"version 1 without a limit":    {"memory/memory.limit_in_bytes", "9223372036854771712\n", 0},
		"neither, or not to be read":   {"cpu.max", "max\n", 0},
		"what nobody has written down": {"memory.max", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			groups := fstest.MapFS{test.file: &fstest.MapFile{Data: []byte(test.text)}}
			if got := entityBudget(groups); got != test.want {
				t.Errorf("%d bytes, want %d", got, test.want)
			}
		})
	}
}
