package eventstore

import "strconv"

// Bounds on the numbers of canonical JSON. They are bounds on the value, not on
// how it is spelled, so that a store may write it out in full; PostgreSQL's
// numeric holds all of them.
const (
	// maxDigits bounds the significant digits.
	maxDigits = 1000
	// maxPoint bounds the place of the decimal point before and after the first
	// significant digit.
	maxPoint = 1000
	// maxWrittenExponent bounds the exponent as written: 0e20000 is 0, but not
	// for PostgreSQL.
	maxWrittenExponent = 10_000
)

// number copies a number as the decimal 0.d1d2…dk × 10^point, where neither d1
// nor dk is 0. It looks at each byte a bounded number of times.
func (c *canonicalizer) number() error {
	negative := c.src[c.at] == '-'
	if negative {
		c.at++
	}
	start := c.at
	whole := c.digits()
	if whole == 0 {
		return c.wrong("malformed number")
	}
	if whole > 1 && c.src[start] == '0' {
		return c.wrong("number with a leading zero")
	}
	mantissa := c.src[start:c.at]
	if c.at < len(c.src) && c.src[c.at] == '.' {
		c.at++
		if c.digits() == 0 {
			return c.wrong("malformed number")
		}
		mantissa = c.src[start:c.at]
	}
	exponent, err := c.exponent()
	if err != nil {
		return err
	}
	from, to := significant(mantissa)
	if from == to {
		c.dst = append(c.dst, '0')
		return nil
	}
	count, point := to-from, exponent
	if from <= whole {
		point += whole - from
	} else { // from counts the point as well
		point -= from - whole - 1
	}
	if from < whole && to > whole {
		count--
	}
	if count > maxDigits || point > maxPoint || point < -maxPoint {
		return c.wrong("number out of range")
	}
	if negative {
		c.dst = append(c.dst, '-')
	}
	c.dst = appendDecimal(c.dst, mantissa[from:to], count, point)
	return nil
}

// digits skips digits and counts them.
func (c *canonicalizer) digits() int {
	start := c.at
	for c.at < len(c.src) && '0' <= c.src[c.at] && c.src[c.at] <= '9' {
		c.at++
	}
	return c.at - start
}

// exponent reads e±n, if it is there.
func (c *canonicalizer) exponent() (int, error) {
	if c.at == len(c.src) || c.src[c.at]|0x20 != 'e' {
		return 0, nil
	}
	c.at++
	sign := 1
	if c.at < len(c.src) && (c.src[c.at] == '+' || c.src[c.at] == '-') {
		if c.src[c.at] == '-' {
			sign = -1
		}
		c.at++
	}
	start := c.at
	if c.digits() == 0 {
		return 0, c.wrong("malformed number")
	}
	n := 0
	for _, b := range c.src[start:c.at] {
		if n = n*10 + int(b-'0'); n > maxWrittenExponent {
			return 0, c.wrong("number out of range")
		}
	}
	return sign * n, nil
}

// significant gives the bounds of a mantissa without its leading and trailing
// zeros; they are equal when it is zero.
func significant(mantissa []byte) (from, to int) {
	to = len(mantissa)
	for from < to && (mantissa[from] == '0' || mantissa[from] == '.') {
		from++
	}
	for from < to && (mantissa[to-1] == '0' || mantissa[to-1] == '.') {
		to--
	}
	return from, to
}

// appendDecimal writes 0.digits × 10^point as ECMAScript does: plain for
// 1e-7 < |x| < 1e21, else with one digit before the point and an exponent. There
// are count digits, with or without a point among them.
func appendDecimal(dst, digits []byte, count, point int) []byte {
	switch {
	case count <= point && point <= 21:
		dst = appendDigits(dst, digits, count)
		return appendZeros(dst, point-count)
	case 0 < point && point <= 21:
		return appendDigits(dst, digits, point)
	case -6 < point && point <= 0:
		dst = append(dst, "0."...)
		dst = appendZeros(dst, -point)
		return appendDigits(dst, digits, count)
	}
	dst = appendDigits(dst, digits, 1)
	dst = append(dst, 'e')
	if point > 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, int64(point-1), 10)
}

// appendDigits writes the digits with a point after the first before of them,
// when there are more.
func appendDigits(dst, digits []byte, before int) []byte {
	for _, b := range digits {
		if b == '.' {
			continue
		}
		if before == 0 {
			dst = append(dst, '.')
		}
		before--
		dst = append(dst, b)
	}
	return dst
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}
