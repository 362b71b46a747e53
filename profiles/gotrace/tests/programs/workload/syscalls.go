package main

import (
	"io"
	"net"
	"syscall"
	"time"
)

// blockInSyscall reads from a pipe without the network poller, long enough to lose its proc.
func blockInSyscall() error {
	var ends [2]int
	if err := syscall.Pipe(ends[:]); err != nil {
		return err
	}
	defer syscall.Close(ends[0])
	defer syscall.Close(ends[1])
	time.AfterFunc(25*time.Millisecond, func() { syscall.Write(ends[1], []byte{1}) })
	_, err := syscall.Read(ends[0], make([]byte, 1))
	return err
}

func talkOverLoopback() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	go echo(listener)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	for range 20 {
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, make([]byte, 5)); err != nil {
			return err
		}
	}
	time.Sleep(5 * time.Millisecond)
	return nil
}

func echo(listener net.Listener) {
	conn, err := listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	io.Copy(conn, conn)
}
