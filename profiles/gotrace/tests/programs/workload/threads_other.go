//go:build !linux

package main

func allThreadsSyscall() {}
