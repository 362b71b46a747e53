package main

import (
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"time"
)

// listenDelaying serves a protocol of two messages: a number of nanoseconds, and after as many, how long it really was.
func listenDelaying() (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go delayAnswers(connection)
		}
	}()
	return listener, nil
}

func delayAnswers(connection net.Conn) {
	defer connection.Close()
	for {
		var message [8]byte
		if _, err := io.ReadFull(connection, message[:]); err != nil {
			if !errors.Is(err, io.EOF) {
				log.Print("delaying server: ", err)
			}
			return
		}
		begin := now()
		time.Sleep(time.Duration(binary.LittleEndian.Uint64(message[:])))
		binary.LittleEndian.PutUint64(message[:], uint64(now()-begin))
		if _, err := connection.Write(message[:]); err != nil {
			log.Print("delaying server: ", err)
			return
		}
	}
}

// delayed is a connection to the delaying server.
type delayed struct{ net.Conn }

// wait measures the read of a delayed answer. The server's own measurement is the least that it can have taken, less what
// passes between the write, which the server sees at once, and the read.
func (d *delayed) wait(ns int64) (read stretch, least int64, err error) {
	var message [8]byte
	binary.LittleEndian.PutUint64(message[:], uint64(ns))
	asked := now()
	if _, err := d.Write(message[:]); err != nil {
		return stretch{}, 0, err
	}
	read.begin = now()
	_, err = io.ReadFull(d, message[:])
	read.end = now()
	least = int64(binary.LittleEndian.Uint64(message[:])) - (read.begin - asked)
	return read, max(0, least), err
}

// connections are open ones that nobody uses. More are opened when they run out.
type connections struct {
	address string
	idle    chan *delayed
}

func openConnections(address string, count int) (*connections, error) {
	c := &connections{address, make(chan *delayed, count)}
	for range count {
		connection, err := c.open()
		if err != nil {
			return nil, err
		}
		c.idle <- connection
	}
	return c, nil
}

func (c *connections) open() (*delayed, error) {
	connection, err := net.Dial("tcp", c.address)
	if err != nil {
		return nil, err
	}
	return &delayed{connection}, nil
}

func (c *connections) get() (*delayed, error) {
	select {
	case connection := <-c.idle:
		return connection, nil
	default:
		return c.open()
	}
}

func (c *connections) put(connection *delayed) {
	select {
	case c.idle <- connection:
	default:
		connection.Close()
	}
}
