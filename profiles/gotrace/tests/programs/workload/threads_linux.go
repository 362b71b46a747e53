package main

import "syscall"

// allThreadsSyscall runs a system call on every thread, which stops the world. Needs a program without cgo.
func allThreadsSyscall() {
	syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0)
}
