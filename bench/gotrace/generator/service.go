package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime/trace"
	"strconv"
	"sync"
	"time"
)

const (
	clients     = 200
	connections = 8
	renderers   = 4
	products    = 500
	// Clients think between requests for up to twice this long.
	thinkTime = 40 * time.Millisecond
	// A page is garbage as soon as it is sent; the cache keeps the garbage collector's marking busy.
	pageBytes  = 16 << 10
	cacheBytes = 32 << 10
)

// shop answers GET /product?id=N: it looks into a cache, asks a database over one of a few connections if it must, lets a
// renderer make the page, and leaves a note for an audit file.
type shop struct {
	cache     sync.RWMutex
	cached    map[int][]byte
	pool      chan net.Conn
	renderers chan rendering
	audit     chan string
}

type rendering struct {
	product int
	page    chan<- []byte
}

// service runs the shop, its database and its clients until stop is closed.
func service(stop <-chan struct{}) error {
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, database.Close())
	}
	shop := &shop{
		cached:    map[int][]byte{},
		pool:      make(chan net.Conn, connections),
		renderers: make(chan rendering),
		audit:     make(chan string, 64),
	}
	var background sync.WaitGroup
	background.Go(func() { runDatabase(database) })
	for range connections {
		conn, err := net.Dial("tcp", database.Addr().String())
		if err != nil {
			return err
		}
		shop.pool <- conn
	}
	for range renderers {
		background.Go(shop.render)
	}
	background.Go(func() { shop.evict(stop, seeded(clients)) })
	audited := make(chan error, 1)
	go func() { audited <- shop.writeAudit() }()
	server := &http.Server{Handler: http.HandlerFunc(shop.product)}
	background.Go(func() { server.Serve(front) })

	failed := visit(stop, "http://"+front.Addr().String()+"/product")

	failed = errors.Join(failed, server.Shutdown(context.Background()))
	close(shop.renderers)
	close(shop.audit)
	failed = errors.Join(failed, <-audited)
	for range connections {
		failed = errors.Join(failed, (<-shop.pool).Close())
	}
	failed = errors.Join(failed, database.Close())
	background.Wait()
	return failed
}

func (s *shop) product(w http.ResponseWriter, r *http.Request) {
	ctx, task := trace.NewTask(r.Context(), "GET /product")
	defer task.End()
	product, err := strconv.Atoi(r.URL.Query().Get("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	trace.Logf(ctx, "product", "%d", product)
	trace.WithRegion(ctx, "load", func() { err = s.load(ctx, product) })
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	page := make(chan []byte, 1)
	select {
	case s.renderers <- rendering{product, page}:
	case <-r.Context().Done():
		return
	}
	trace.WithRegion(ctx, "write", func() { w.Write(<-page) })
	select {
	case s.audit <- fmt.Sprintf("%s product %d\n", r.RemoteAddr, product):
	default:
	}
}

func (s *shop) load(ctx context.Context, product int) error {
	s.cache.RLock()
	_, found := s.cached[product]
	s.cache.RUnlock()
	if found {
		return nil
	}
	ctx, task := trace.NewTask(ctx, "query")
	defer task.End()
	conn := <-s.pool
	defer func() { s.pool <- conn }()
	if _, err := conn.Write([]byte("get\n")); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		return err
	}
	s.cache.Lock()
	defer s.cache.Unlock()
	s.cached[product] = make([]byte, cacheBytes)
	return nil
}

// render makes pages that nobody keeps.
func (s *shop) render() {
	for job := range s.renderers {
		page := make([]byte, pageBytes)
		for i := range page {
			page[i] = byte('a' + (i*job.product)%26)
		}
		job.page <- page
	}
}

// evict forgets part of the cache now and then, as a lifetime would.
func (s *shop) evict(stop <-chan struct{}, chance *rand.Rand) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		s.cache.Lock()
		for range products / 20 {
			delete(s.cached, chance.IntN(products))
		}
		s.cache.Unlock()
	}
}

// writeAudit writes notes to a file that is gone at the end: system calls that block.
func (s *shop) writeAudit() (err error) {
	file, err := os.CreateTemp("", "audit")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	for note := range s.audit {
		if _, writeErr := file.WriteString(note); writeErr != nil && err == nil {
			err = writeErr
		}
	}
	return err
}

// runDatabase answers four bytes for four bytes, after a while, under one lock for all connections.
func runDatabase(listener net.Listener) {
	var table sync.Mutex
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		serving.Go(func() {
			defer conn.Close()
			query := make([]byte, 4)
			for {
				if _, err := io.ReadFull(conn, query); err != nil {
					return
				}
				time.Sleep(500 * time.Microsecond)
				table.Lock()
				sum(query, 20_000)
				table.Unlock()
				if _, err := conn.Write(query); err != nil {
					return
				}
			}
		})
	}
}

var sink byte

func sum(bytes []byte, rounds int) {
	var total byte
	for range rounds {
		for _, b := range bytes {
			total += b
		}
	}
	sink = total
}

// visit lets the clients fetch url until stop is closed, and returns the first failure.
func visit(stop <-chan struct{}, url string) error {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	failed := make(chan error, clients)
	var visiting sync.WaitGroup
	for i := range clients {
		visiting.Go(func() { failed <- visitOften(stop, client, url, seeded(i)) })
	}
	visiting.Wait()
	close(failed)
	var first error
	for err := range failed {
		if first == nil {
			first = err
		}
	}
	return first
}

// seeded makes the same choices in every run: what each part of the program does is the same, the order among them is not.
func seeded(part int) *rand.Rand {
	return rand.New(rand.NewPCG(1, uint64(part)))
}

func visitOften(stop <-chan struct{}, client *http.Client, url string, chance *rand.Rand) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Duration(chance.Int64N(int64(2 * thinkTime)))):
		}
		if err := fetch(client, fmt.Sprintf("%s?id=%d", url, chance.IntN(products))); err != nil {
			return err
		}
	}
}

func fetch(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
