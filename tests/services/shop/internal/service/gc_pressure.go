package service

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// archiveSize makes the live heap large and full of pointers, so that a collection has much to mark.
	archiveSize = 400_000
	// tightGCPercent leaves little room between live heap and goal, so that allocation must help to mark.
	tightGCPercent = 2
	// tightFor is how long the tight setting outlives the last feed.
	tightFor = 300 * time.Millisecond

	feedItems = 4_000
)

type entry struct {
	next, other *entry
	words       [2]*int
	rank        int
}

// item is large for what it costs to make: the bytes it takes decide how much marking its maker is charged with.
type item struct {
	next  *item
	about *entry
	links [54]*int
}

// feed owns the archive, and the window in which the collector runs tightly.
type feed struct {
	archive []*entry
	mutex   sync.Mutex
	relax   *time.Timer
	normal  int
}

func newFeed() *feed {
	archive := make([]*entry, archiveSize)
	for i := range archive {
		word := i
		archive[i] = &entry{rank: i, words: [2]*int{&word, &word}}
	}
	const stride = 7919 // Links jump through memory, as those of a long-lived heap do.
	for i, e := range archive {
		e.next = archive[(i+stride)%archiveSize]
		e.other = archive[(i*stride+1)%archiveSize]
	}
	return &feed{archive: archive}
}

// Feed allocates a long linked list while the collector runs back to back: most of the time goes into mark assists.
func (s *Service) Feed(ctx context.Context) (int, error) {
	return inSpan(ctx, "feed", func(context.Context) (int, error) {
		s.feed.tighten()
		var head *item
		for i := range feedItems {
			head = &item{next: head, about: s.feed.archive[i%archiveSize]}
		}
		length := 0
		for i := head; i != nil; i = i.next {
			length++
		}
		return length, nil
	})
}

// tighten lowers GOGC at the first feed of a burst and has it restored after the last.
func (f *feed) tighten() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.relax != nil {
		f.relax.Reset(tightFor)
		return
	}
	f.normal = debug.SetGCPercent(tightGCPercent)
	f.relax = time.AfterFunc(tightFor, f.restore)
}

func (f *feed) restore() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	debug.SetGCPercent(f.normal)
	f.relax = nil
}
