package failover

import (
	"fmt"
	"strings"
	"time"
)

// A plot is so many pixels wide and high, with room for the numbers around it.
const (
	plotWidth, plotHeight = 640, 220
	plotLeft, plotRight   = 46, 36
	plotTop, plotBottom   = 10, 26
	innerWidth            = plotWidth - plotLeft - plotRight
	innerHeight           = plotHeight - plotTop - plotBottom
	gridLines             = 4
	maxSteps              = 400 // of a curve; a longer one is thinned
)

// Plot is a drawing.
type Plot struct {
	Width, Height int
	Grid          []Line
	Curves        []Curve
	// Limits are promises: upright lines.
	Limits []Line
}

// Line is one with a word at its end.
type Line struct {
	X1, Y1, X2, Y2 float64
	TextX, TextY   float64
	Text           string
}

// Curve is the share of a series that a time does not exceed.
type Curve struct {
	What, Points string
	Number       int
}

// plot draws distributions: the time to the right, the share that takes no longer
// upwards.
func plot(rows []Row) Plot {
	p := Plot{Width: plotWidth, Height: plotHeight}
	widest := time.Millisecond
	for _, row := range rows {
		widest = max(widest, row.Series.At(1), row.Promised)
	}
	x := func(d time.Duration) float64 { return plotLeft + innerWidth*float64(d)/float64(widest) }
	y := func(share float64) float64 { return plotTop + innerHeight*(1-share) }
	for i := range gridLines + 1 {
		part := float64(i) / gridLines
		at := time.Duration(part * float64(widest))
		p.Grid = append(p.Grid,
			Line{x(at), y(0), x(at), y(1), x(at) - 14, plotHeight - 8, ms(at)},
			Line{x(0), y(part), x(widest), y(part), 4, y(part) + 4, fmt.Sprintf("%.0f %%", 100*part)})
	}
	for n, row := range rows {
		var points strings.Builder
		fmt.Fprintf(&points, "%.1f,%.1f", x(0), y(0))
		step := max(1, len(row.Series)/maxSteps)
		share := 0.0
		for i := 0; i < len(row.Series); i += step {
			i := min(i, len(row.Series)-1)
			d := row.Series[i]
			fmt.Fprintf(&points, " %.1f,%.1f", x(d), y(share))
			share = float64(i+1) / float64(len(row.Series))
			fmt.Fprintf(&points, " %.1f,%.1f", x(d), y(share))
		}
		fmt.Fprintf(&points, " %.1f,%.1f", x(row.Series.At(1)), y(1))
		p.Curves = append(p.Curves, Curve{What: row.What, Points: points.String(), Number: n})
		if row.Promised > 0 {
			p.Limits = append(p.Limits, Line{x(row.Promised), y(0), x(row.Promised), y(1), 0, 0, row.What + ": " + ms(row.Promised) + " promised at p99"})
		}
	}
	return p
}
