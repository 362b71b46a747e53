//go:build cgo

package main

import (
	"context"
	"net"
)

// #include <unistd.h>
import "C"

var cWaits = []func(){callC, callResolver}

func callC() { C.usleep(C.useconds_t(hold.Microseconds())) }

// callResolver asks the C library for an address, on another goroutine because the question may be canceled.
func callResolver() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	net.DefaultResolver.LookupHost(ctx, "localhost")
}
