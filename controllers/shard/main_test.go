package shard

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if count, err := strconv.Atoi(os.Getenv(podsVariable)); err == nil {
		if err := servePods(count, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "pods:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
