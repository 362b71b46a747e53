//go:build !cgo

package main

var cWaits []func()
