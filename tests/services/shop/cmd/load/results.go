package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// maxFailedShare is how many requests in a hundred may fail.
const maxFailedShare = 1

// results collects what happened, per operation. Safe for concurrent use.
type results struct {
	mutex      sync.Mutex
	operations map[string]*outcome
}

type outcome struct {
	latencies []time.Duration // Of answered requests only.
	failed    int
	lastError error
}

func (r *results) add(operation string, latency time.Duration, err error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.operations == nil {
		r.operations = make(map[string]*outcome)
	}
	o := r.operations[operation]
	if o == nil {
		o = &outcome{}
		r.operations[operation] = o
	}
	if err != nil {
		o.failed++
		o.lastError = err
		return
	}
	o.latencies = append(o.latencies, latency)
}

func (r *results) tooManyFailures() bool {
	total, failed := 0, 0
	for _, o := range r.operations {
		total += len(o.latencies) + o.failed
		failed += o.failed
	}
	return total == 0 || failed*100 > total*maxFailedShare
}

func (r *results) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "operation\tcount\terrors\tp50 ms\tp99 ms\t")
	for _, operation := range slices.Sorted(maps.Keys(r.operations)) {
		o := r.operations[operation]
		slices.Sort(o.latencies)
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t\n", operation, len(o.latencies)+o.failed, o.failed,
			milliseconds(quantile(o.latencies, 50)), milliseconds(quantile(o.latencies, 99)))
	}
	table.Flush()
	for _, operation := range slices.Sorted(maps.Keys(r.operations)) {
		if err := r.operations[operation].lastError; err != nil {
			fmt.Fprintf(w, "%s: last error: %v\n", operation, err)
		}
	}
}

// quantile returns the nearest-rank percentile of sorted latencies, or 0 if there are none.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

// discard reads an answer to its end, so that its connection can be used again; a status above 299 is an error.
func discard(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode > 299 {
		return fmt.Errorf("status %s", response.Status)
	}
	return nil
}
