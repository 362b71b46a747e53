package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestOneFailureInAHundredIsToleratedAndTwoAreNot(t *testing.T) {
	var seen results
	for range 99 {
		seen.add("GET /", time.Millisecond, nil)
	}
	seen.add("GET /", 0, errors.New("refused"))
	if seen.tooManyFailures() {
		t.Error("1 failure in 100 was too many")
	}
	seen.add("GET /", 0, errors.New("refused"))
	if !seen.tooManyFailures() {
		t.Error("2 failures in 101 were tolerated")
	}
}

func TestARunWithoutRequestsIsAFailure(t *testing.T) {
	if !new(results).tooManyFailures() {
		t.Error("nothing was sent, and that was tolerated")
	}
}

func TestTheTableShowsNearestRankPercentiles(t *testing.T) {
	var seen results
	for i := range 200 {
		seen.add("GET /", time.Duration(i+1)*time.Millisecond, nil)
	}
	var table strings.Builder
	seen.print(&table)
	if got := strings.Fields(table.String()); strings.Join(got[len(got)-5:], " ") != "/ 200 0 100.0 198.0" {
		t.Errorf("got %q, want p50 100.0 and p99 198.0", table.String())
	}
}
