package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/leftfold/leftfold/runtime/definition"
	"github.com/leftfold/leftfold/runtime/shard"
)

// Config is what a development server is started with.
type Config struct {
	// Set is what to serve, without errors.
	Set *definition.Set
	// Listen is the address of the API; default ":8080".
	Listen string
	// Ops is the address of health and metrics; default: the API's host, and its
	// port plus one.
	Ops string
	// Data is the folder of the embedded stores, a subfolder each. Required
	// unless Store is given.
	Data string
	// Store is a PostgreSQL URL that takes the place of every EventStore.
	Store string
	// Schema is the PostgreSQL schema; default "leftfold". It belongs to one
	// event store, so servers that share it serve the same shards.
	Schema string
	// Version is told by metrics and documents.
	Version string
	Logger  *slog.Logger

	// Limits bounds what the shards of each store keep; zero fields have the
	// defaults of shard.Limits.
	Limits shard.Limits
	// CommandTimeout bounds a command as a whole, and HoldFor a call's wait for
	// a shard without an owner; zero means the defaults of api and routing.
	CommandTimeout, HoldFor time.Duration
}

func (c Config) check() error {
	if c.Data == "" && c.Store == "" {
		return errors.New("a data folder or a store URL is needed")
	}
	if c.Data != "" && c.Store != "" {
		return errors.New("--data is for the embedded store: leave out either --data or --store")
	}
	return nil
}

// opsAddress is the default address of health and metrics for an API that
// listens at the given one: the port after it.
func opsAddress(api net.Addr) (string, error) {
	host, port, err := net.SplitHostPort(api.String())
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(port)
	if err != nil || n+1 > 65535 {
		return "", fmt.Errorf("there is no port after %s", api)
	}
	return net.JoinHostPort(host, strconv.Itoa(n+1)), nil
}
