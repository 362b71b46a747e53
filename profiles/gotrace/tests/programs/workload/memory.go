package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

var live [][]byte

// allocate makes garbage faster than the collector likes, so that it must assist.
func allocate() error {
	old := debug.SetGCPercent(20)
	for i := range 3000 {
		chunk := make([]byte, 4096)
		if i%10 == 0 {
			live = append(live, chunk)
		}
	}
	live = live[len(live)/2:]
	debug.SetGCPercent(old)
	time.Sleep(20 * time.Millisecond)
	return nil
}

// node is small and has pointers: many of them take long to mark.
type node struct {
	left, right *node
	payload     [6]uint64
}

const nodesCount = 1 << 19

var nodes []*node

// page has a span of its own: many of them are quick to mark and take long to sweep.
type page [8 << 10]byte

const pagesCount = 1 << 14

var pages []*page

// fillHeap makes a heap that takes longer to mark and to sweep than a short generation lasts.
func fillHeap() {
	nodes = make([]*node, nodesCount)
	for i := range nodes {
		nodes[i] = &node{}
	}
	pages = make([]*page, pagesCount)
	for i := range pages {
		pages[i] = new(page)
	}
}

// memory collects all the time. Nodes are allocated while the collector marks, so that it demands assists; a large
// object right after it has marked has to wait until enough pages are swept.
func memory(length time.Duration) error {
	defer debug.SetGCPercent(debug.SetGCPercent(30))
	end := time.Now().Add(length)
	var all sync.WaitGroup
	for worker := range 2 {
		all.Add(1)
		go func() {
			defer all.Done()
			for turn := worker; time.Now().Before(end); turn++ {
				replaceNodes(worker, turn)
			}
		}()
	}
	all.Add(1)
	go func() {
		defer all.Done()
		for time.Now().Before(end) {
			clear(pages[:pagesCount/2])
			waitForMark()
			large = make([]byte, 32<<20)
			for i := range pages[:pagesCount/2] {
				pages[i] = new(page)
			}
		}
	}()
	weakPointers(&all, end)
	all.Wait()
	return nil
}

var large []byte

// replaceNodes replaces every third node of a worker's half, so that every span soon has something to free.
func replaceNodes(worker, turn int) {
	half := nodes[worker*nodesCount/2:][:nodesCount/2]
	for i := turn % 3; i < len(half); i += 3 {
		half[i] = &node{}
	}
}

// waitForMark returns soon after a mark phase has ended.
func waitForMark() {
	var stats debug.GCStats
	debug.ReadGCStats(&stats)
	for before := stats.NumGC; stats.NumGC == before; debug.ReadGCStats(&stats) {
		runtime.Gosched()
		time.Sleep(100 * time.Microsecond)
	}
}
