package main

import (
	"fmt"
	"math/rand"
	"time"
)

// sent is a request of the schedule.
type sent struct {
	after time.Duration
	steps []step
	// turn says which of those that contend it is, from 1; 0 if none do.
	turn int
}

// kind is a cause, who keeps the request waiting, and what that one does meanwhile.
type kind struct {
	cause string
	where where
	how   how
}

var (
	alone = []kind{
		{"cpu", own, ""}, {"sleep", own, ""}, {"timer", own, ""}, {"network", own, ""}, {"syscall", own, ""}, {"yield", own, ""}, {"hog", own, ""},
	}
	barriers = []string{
		"mutex", "rwmutex_read", "rwmutex_write", "empty_channel", "full_channel", "select", "cond", "waitgroup", "pipe",
	}
	resources = []string{"mutex", "rwmutex", "pool"}
	hows      = []how{networking, sleeping, computing, systemCall}
	layers    = []string{"db", "cache", "http.client", "service", "middleware"}
)

// kinds are all that a service can be asked for.
func kinds(collect bool) []kind {
	all := append([]kind{}, alone...)
	if collect {
		all = append(all, kind{"gc", own, ""})
	}
	for _, how := range hows {
		for _, cause := range barriers {
			all = append(all, kind{cause, helper, how})
		}
		for _, cause := range resources {
			all = append(all, kind{cause, requests, how})
		}
	}
	return append(all, kind{"waitgroup", children, networking}, kind{"waitgroup", children, sleeping})
}

// schedule gives every kind its turn as the main cause of requests, in a random order that the seed decides, until there
// are enough. Most requests have small steps of other kinds, too. Times between requests are exponential: nobody waits
// for answers before the next is sent.
func schedule(o options) []sent {
	random := rand.New(rand.NewSource(o.seed))
	all := kinds(o.collect)
	var requests []sent
	at := time.Duration(0)
	for group := 0; len(requests) < o.requests; {
		for _, n := range random.Perm(len(all)) {
			at += time.Duration(random.ExpFloat64() * float64(o.interval))
			requests = append(requests, contenders(random, all[n], at, group)...)
			group++
		}
	}
	return requests
}

// contenders are the requests of one turn: one, or a few that contend with each other, each of an operation of its own.
func contenders(random *rand.Rand, main kind, at time.Duration, group int) []sent {
	count := 1
	if main.where == requests {
		count = 2
	}
	// A pool hands its connection to whoever waits longest. A lock may go to one who comes last, and then a goroutine
	// that was woken waits again, which the clocks of the program do not see.
	if main.cause == "pool" {
		count += random.Intn(3)
	}
	var all []sent
	for n := range count {
		request := sent{after: at, steps: vector(random, main, fmt.Sprint(group))}
		if main.where == requests {
			request.turn = n + 1
		}
		all = append(all, request)
		at += between(random, time.Millisecond, 3*time.Millisecond)
	}
	return all
}

// vector is the main cause and up to two small steps, in any order, each in a layer of its own.
func vector(random *rand.Rand, main kind, group string) []step {
	shuffled := random.Perm(len(layers))
	steps := []step{{
		Layer: layers[shuffled[0]],
		Cause: main.cause,
		Where: main.where,
		How:   main.how,
		Ns:    int64(mainTime(random, main)),
	}}
	if main.where == requests {
		steps[0].Group = group
	} else if random.Intn(len(layers)) == 0 {
		steps[0].Layer = handlerName
	}
	for n := range random.Intn(3) {
		small := alone[random.Intn(len(alone))]
		if random.Intn(2) == 0 {
			small = kind{barriers[random.Intn(len(barriers))], helper, hows[random.Intn(len(hows))]}
		}
		steps = append(steps, step{
			Layer: layers[shuffled[1+n]],
			Cause: small.cause,
			Where: small.where,
			How:   small.how,
			Ns:    int64(between(random, 300*time.Microsecond, 1500*time.Microsecond)),
		})
	}
	random.Shuffle(len(steps), func(a, b int) { steps[a], steps[b] = steps[b], steps[a] })
	return steps
}

// mainTime is long enough to stand out, and not much longer. A holder that computes must be taken off its processor before
// another request can even ask for what it holds, if there is only one; that happens after 10 ms.
func mainTime(random *rand.Rand, main kind) time.Duration {
	if main.where == requests && main.how == computing {
		return between(random, 15*time.Millisecond, 25*time.Millisecond)
	}
	return between(random, 4*time.Millisecond, 12*time.Millisecond)
}

func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int63n(int64(most-least)))
}
