package server

import (
	"io/fs"
	"strconv"
	"strings"
)

// limitFiles hold the memory limit of the container that this process is alone in,
// by version 2 and version 1 of control groups.
var limitFiles = []string{"memory.max", "memory/memory.limit_in_bytes"}

// noLimit is what version 1 says, about, when there is none.
const noLimit = 1 << 60

// entityBudget is what entities may take in a pod: a quarter of the container's
// memory limit, since the collector lets as much garbage gather, and the other half
// is for all else that runtime/README.md lists. 0, the default of package shard:
// there is no limit. groups is the folder of control groups.
func entityBudget(groups fs.FS) int64 {
	for _, file := range limitFiles {
		text, err := fs.ReadFile(groups, file)
		if err != nil {
			continue
		}
		// "max", where there is none, is no number.
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil || limit <= 0 || limit >= noLimit {
			return 0
		}
		return limit / 4
	}
	return 0
}
