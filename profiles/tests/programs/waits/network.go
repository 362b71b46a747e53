package main

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

var networkWaits = []func(){
	networkRead, networkWrite, networkAccept, networkConnect, datagramRead, unixRead, dnsLookup, dnsText, tlsClient, tlsServer,
	fdMutex, fdClose,
}

// pair returns both ends of a TCP connection.
func pair() (net.Conn, net.Conn) {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	defer listener.Close()
	client := must(net.Dial("tcp", listener.Addr().String()))
	return client, must(listener.Accept())
}

func networkRead() {
	client, server := pair()
	after(func() { server.Write([]byte{1}) })
	must(client.Read(make([]byte, 1)))
}

func networkWrite() {
	client, server := pair()
	after(func() { server.Close() })
	for {
		if _, err := client.Write(large[:]); err != nil {
			return
		}
	}
}

func networkAccept() {
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	after(func() { net.Dial("tcp", listener.Addr().String()) })
	must(listener.Accept())
}

// networkConnect dials a listener whose queue is full, so that the kernel leaves the handshake unanswered.
func networkConnect() {
	socket := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0))
	defer syscall.Close(socket)
	check(syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	check(syscall.Listen(socket, 0))
	address := must(syscall.Getsockname(socket)).(*syscall.SockaddrInet4)
	target := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: address.Port}
	for range 3 {
		if _, err := net.DialTimeout("tcp", target.String(), hold); err != nil {
			return
		}
	}
	panic("the queue takes any number of connections")
}

func datagramRead() {
	conn := must(net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	after(func() { conn.Close() })
	conn.ReadFromUDP(make([]byte, 1))
}

func unixRead() {
	folder := must(os.MkdirTemp("", "waits"))
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "socket")
	listener := must(net.Listen("unix", path))
	defer listener.Close()
	client := must(net.Dial("unix", path))
	after(func() { client.Close() })
	client.Read(make([]byte, 1))
}

// silentResolver asks a name server that never answers.
func silentResolver() *net.Resolver {
	server := must(net.ListenPacket("udp", "127.0.0.1:0"))
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "udp", server.LocalAddr().String())
	}
	return &net.Resolver{PreferGo: true, Dial: dial}
}

func dnsLookup() {
	ctx, cancel := context.WithTimeout(context.Background(), hold)
	defer cancel()
	silentResolver().LookupHost(ctx, "spandrel.example")
}

func dnsText() {
	ctx, cancel := context.WithTimeout(context.Background(), hold)
	defer cancel()
	silentResolver().LookupTXT(ctx, "spandrel.example")
}

func tlsClient() {
	client, server := pair()
	after(func() { server.Close() })
	tls.Client(client, &tls.Config{ServerName: "spandrel.example"}).Handshake()
}

func tlsServer() {
	client, server := pair()
	after(func() { client.Close() })
	tls.Server(server, &tls.Config{}).Handshake()
}

// fdMutex writes while another write to the same connection is under way.
func fdMutex() {
	client, server := pair()
	after(func() { server.Close() })
	go client.Write(large[:])
	time.Sleep(hold / 4)
	client.Write([]byte{1})
}

// fdClose closes a file that is in use.
func fdClose() {
	client, _ := pair()
	raw := must(client.(*net.TCPConn).SyscallConn())
	begun := make(chan struct{})
	go raw.Control(func(uintptr) { close(begun); time.Sleep(hold) })
	<-begun
	client.Close()
}
