package main

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

var fileWaits = []func(){fileRead, fileWrite, processWait, processOutput}

func fileRead() {
	reader, writer, err := os.Pipe()
	check(err)
	after(func() { writer.Close() })
	reader.Read(make([]byte, 1))
}

func fileWrite() {
	reader, writer, err := os.Pipe()
	check(err)
	after(func() { reader.Close() })
	writer.Write(large[:])
}

func processWait() {
	command := exec.Command("sleep", seconds(hold))
	check(command.Run())
}

// processOutput waits for the goroutine that copies the output, because a grandchild holds the pipe open.
func processOutput() {
	command := exec.Command("sh", "-c", "sleep "+seconds(hold)+" &")
	command.Stdout = struct{ io.Writer }{io.Discard}
	check(command.Run())
}

func seconds(length time.Duration) string {
	return strconv.FormatFloat(length.Seconds(), 'f', 3, 64)
}
