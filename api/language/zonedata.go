package language

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"sync"
	"time"
)

// zoneArchive is the IANA time zone database as the Go toolchain ships it.
//
//go:generate sh -c "cp \"$(go env GOROOT)/lib/time/zoneinfo.zip\" zoneinfo.zip"
//go:embed zoneinfo.zip
var zoneArchive []byte

var zoneReader = sync.OnceValues(func() (*zip.Reader, error) {
	return zip.NewReader(bytes.NewReader(zoneArchive), int64(len(zoneArchive)))
})

// zones keeps the zones that were asked for: *time.Location by name. Names
// that are not there are not kept, so it cannot grow without bound.
var zones sync.Map

// namedZone finds a zone in the archive. The machine's own zone files, and its
// idea of Local, are never looked at.
func namedZone(name string) (*time.Location, error) {
	if name == "UTC" || name == "" {
		return time.UTC, nil
	}
	if loc, ok := zones.Load(name); ok {
		return loc.(*time.Location), nil
	}
	archive, err := zoneReader()
	if err != nil {
		return nil, fmt.Errorf("time zone data: %w", err)
	}
	file, err := archive.Open(name)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q", name) // a folder, such as Europe
	}
	loc, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	zones.Store(name, loc)
	return loc, nil
}
