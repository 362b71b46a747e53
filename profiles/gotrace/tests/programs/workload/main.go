// Command workload runs a bit of everything that shows in a Go execution trace, and records itself.
//
//	workload -out FILE [-mode mix|pingpong] [-for 300ms] [-profile]
//
// mix: mutexes, channels, select, sleep, loopback network, system calls, garbage collection with assists, coroutines,
// user tasks, regions and logs. pingpong: two goroutines that hand one value to each other as fast as they can, for
// measurements.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"sync"
	"syscall"
	"time"
)

func main() {
	out := flag.String("out", "", "file to write the trace to")
	mode := flag.String("mode", "mix", "mix or pingpong")
	length := flag.Duration("for", 300*time.Millisecond, "how long to run")
	profile := flag.Bool("profile", false, "record CPU samples too")
	flag.Parse()
	if err := record(*out, *mode, *length, *profile); err != nil {
		log.Fatal(err)
	}
}

func record(out, mode string, length time.Duration, profile bool) error {
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if profile {
		if err := pprof.StartCPUProfile(io.Discard); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	// These wait since before the trace starts: one for the whole trace, one until it is released.
	forever, early := make(chan struct{}), make(chan struct{})
	go waitUntilClosed(forever)
	go waitUntilClosed(early)
	time.Sleep(time.Millisecond)
	if err := trace.Start(file); err != nil {
		return err
	}
	close(early)
	switch mode {
	case "mix":
		err = mix(length)
	case "pingpong":
		pingPong(length)
	default:
		err = errors.New("unknown mode " + mode)
	}
	trace.Stop()
	close(forever)
	return errors.Join(err, file.Close())
}

//go:noinline
func waitUntilClosed(c chan struct{}) { <-c }

func mix(length time.Duration) error {
	ctx, task := trace.NewTask(context.Background(), "mix")
	defer task.End()
	end := time.Now().Add(length)
	errs := make(chan error, 2)
	var all sync.WaitGroup
	start := func(work func()) {
		all.Add(1)
		go func() {
			defer all.Done()
			for time.Now().Before(end) {
				work()
			}
		}()
	}
	var mutex sync.Mutex
	var rw sync.RWMutex
	start(func() { holdMutex(&mutex) })
	start(func() { holdMutex(&mutex) })
	start(func() { readAndWrite(&rw) })
	start(func() { readAndWrite(&rw) })
	start(func() { passValues(4, 20) })
	start(selectLoop)
	start(func() { time.Sleep(3 * time.Millisecond) })
	start(func() { spin(2 * time.Millisecond); runtime.Gosched(); time.Sleep(time.Millisecond) })
	start(allocate)
	start(coroutine)
	start(func() { annotate(ctx) })
	start(func() { report(errs, blockInSyscall()) })
	start(func() { report(errs, talkOverLoopback()) })
	all.Wait()
	close(errs)
	return <-errs
}

func report(errs chan<- error, err error) {
	if err == nil {
		return
	}
	select {
	case errs <- err:
	default:
	}
}

func holdMutex(mutex *sync.Mutex) {
	mutex.Lock()
	spin(50 * time.Microsecond)
	time.Sleep(200 * time.Microsecond)
	mutex.Unlock()
}

func readAndWrite(rw *sync.RWMutex) {
	rw.RLock()
	time.Sleep(100 * time.Microsecond)
	rw.RUnlock()
	rw.Lock()
	time.Sleep(300 * time.Microsecond)
	rw.Unlock()
}

// passValues starts goroutines that live shortly and hand values over an unbuffered channel.
func passValues(producers, each int) {
	values := make(chan int)
	var done sync.WaitGroup
	for range producers {
		done.Add(1)
		go func() {
			defer done.Done()
			for i := range each {
				values <- i
			}
		}()
	}
	go func() { done.Wait(); close(values) }()
	for range values {
		spin(5 * time.Microsecond)
	}
	time.Sleep(5 * time.Millisecond)
}

func selectLoop() {
	never := make(chan int)
	timeout := time.After(2 * time.Millisecond)
	select {
	case <-never:
	case <-timeout:
	}
}

var sink uint64

func spin(length time.Duration) {
	end := time.Now().Add(length)
	for time.Now().Before(end) {
		for i := range uint64(500) {
			sink += i * i
		}
	}
}

var live [][]byte

// allocate makes garbage faster than the collector likes, so that it must assist, and stops the world now and then.
func allocate() {
	old := debug.SetGCPercent(20)
	for i := range 3000 {
		chunk := make([]byte, 4096)
		if i%10 == 0 {
			live = append(live, chunk)
		}
	}
	live = live[len(live)/2:]
	debug.SetGCPercent(old)
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	time.Sleep(20 * time.Millisecond)
}

// annotate makes a task with a child on another goroutine, nested regions, and logs of which one holds raw bytes.
func annotate(parent context.Context) {
	ctx, task := trace.NewTask(parent, "request")
	trace.Log(ctx, "user", "alice")
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], 0xfedcba9876543210)
	trace.Log(ctx, "datadog.uint64_span_id", string(id[:]))
	done := make(chan struct{})
	trace.WithRegion(ctx, "outer", func() {
		trace.WithRegion(ctx, "inner", func() { spin(100 * time.Microsecond) })
		go func() {
			_, child := trace.NewTask(ctx, "child")
			time.Sleep(time.Millisecond)
			child.End()
			close(done)
		}()
		<-done
	})
	// The task ends on another goroutine than it began.
	ended := make(chan struct{})
	go func() { task.End(); close(ended) }()
	<-ended
	time.Sleep(5 * time.Millisecond)
}

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

func pingPong(length time.Duration) {
	ping, pong := make(chan int), make(chan int)
	go func() {
		defer close(pong)
		for i := range ping {
			pong <- i + 1
		}
	}()
	for end := time.Now().Add(length); time.Now().Before(end); {
		for range 1000 {
			ping <- 1
			<-pong
		}
	}
	close(ping)
	<-pong
}
