package main

import (
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

var systemCalls = []func(){
	callRead, callFiles, callCopy, callFolder, callMemory, callProcess, callSleep, callPoll, callLock, callNetwork, callSignal,
}

// callRead reads from a pipe that the network poller does not watch: the thread itself blocks.
func callRead() {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	after(func() { syscall.Write(ends[1], []byte{1}) })
	file := os.NewFile(uintptr(ends[0]), "pipe")
	must(file.Read(make([]byte, 1)))
}

// callFiles does what takes a while on a disk.
func callFiles() {
	folder := must(os.MkdirTemp("", "waits"))
	defer os.RemoveAll(folder)
	path, buffer := filepath.Join(folder, "file"), make([]byte, 1<<10)
	for end := time.Now().Add(hold / 4); time.Now().Before(end); {
		file := must(os.Create(path))
		must(file.Write(large[:1<<20]))
		must(file.WriteAt(large[:1<<16], 1<<16))
		check(file.Sync())
		must(file.Stat())
		must(file.Seek(0, 0))
		must(file.Read(buffer))
		must(file.ReadAt(buffer, 0))
		check(file.Truncate(0))
		check(file.Close())
		must(os.Stat(path))
		check(os.Rename(path, path+"2"))
		check(os.Remove(path + "2"))
	}
}

// callCopy leaves the copying to the kernel.
func callCopy() {
	from := must(os.CreateTemp("", "waits"))
	defer os.Remove(from.Name())
	must(from.Write(large[:1<<20]))
	to := must(os.CreateTemp("", "waits"))
	defer os.Remove(to.Name())
	must(from.Seek(0, io.SeekStart))
	must(io.Copy(to, from))
	check(to.Close())
	check(from.Close())
}

func callMemory() {
	memory := must(syscall.Mmap(-1, 0, 1<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE))
	check(syscall.Munmap(memory))
}

func callFolder() {
	for end := time.Now().Add(hold / 8); time.Now().Before(end); {
		must(os.ReadDir("/dev"))
	}
}

func callProcess() {
	process := must(os.StartProcess("/bin/sh", []string{"sh", "-c", "sleep " + seconds(hold)}, &os.ProcAttr{}))
	must(process.Wait())
}

func callSleep() {
	length := syscall.NsecToTimespec(int64(hold))
	check(uninterrupted(func() error { return syscall.Nanosleep(&length, &length) }))
}

func callPoll() {
	poller := must(syscall.EpollCreate1(0))
	end := time.Now().Add(hold)
	check(uninterrupted(func() error {
		_, err := syscall.EpollWait(poller, make([]syscall.EpollEvent, 1), int(max(time.Until(end), 0).Milliseconds()))
		return err
	}))
	check(syscall.Close(poller))
}

func callLock() {
	file := must(os.CreateTemp("", "waits"))
	defer os.Remove(file.Name())
	check(syscall.Flock(int(file.Fd()), syscall.LOCK_EX))
	after(func() { file.Close() })
	other := must(os.Open(file.Name()))
	defer other.Close()
	check(uninterrupted(func() error { return syscall.Flock(int(other.Fd()), syscall.LOCK_EX) }))
}

func callNetwork() {
	for range 20 {
		client, server := pair()
		must(client.Write(make([]byte, 100)))
		must(server.Read(make([]byte, 100)))
		check(server.(*net.TCPConn).CloseWrite())
		client.Close()
		server.Close()
	}
}

// callSignal starts the goroutine that waits for signals.
func callSignal() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	time.Sleep(hold)
	signal.Stop(signals)
}

// uninterrupted repeats a call that a signal ends: the runtime sends them to preempt goroutines.
func uninterrupted(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}
