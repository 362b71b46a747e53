package spandrel

import (
	"bytes"
	"runtime"
	"strconv"
)

// goroutineID returns the id of the calling goroutine, the number that execution traces call it by.
//
// The only public source is the first line of a stack trace, "goroutine 17 [running]:". The runtime walks the whole stack
// whatever the size of the buffer, hence the price.
func goroutineID() (id int64, ok bool) {
	var buffer [32]byte
	line, found := bytes.CutPrefix(buffer[:runtime.Stack(buffer[:], false)], []byte("goroutine "))
	if !found {
		return 0, false
	}
	digits, _, found := bytes.Cut(line, []byte(" "))
	if !found {
		return 0, false
	}
	id, err := strconv.ParseInt(string(digits), 10, 64)
	return id, err == nil
}
