package schedule

import (
	"testing"
	"time"
)

func TestEveryPhaseHasItsOwnSlotAndAQuietTail(t *testing.T) {
	phases := []Phase{
		{Streams: []Stream{{Operation: "first", PerSecond: 10}}},
		{Streams: []Stream{{Operation: "second", PerSecond: 10}}},
	}
	sent := map[string][]time.Duration{}
	for _, due := range Plan(2*time.Second, nil, phases) {
		sent[due.Stream.Operation] = append(sent[due.Stream.Operation], due.At)
	}
	for operation, slot := range map[string]time.Duration{"first": 0, "second": time.Second} {
		times := sent[operation]
		if len(times) != 7 || times[0] != slot || times[6] != slot+600*time.Millisecond {
			t.Errorf("%s: sent at %v, want every 100ms of the first 700ms after %v", operation, times, slot)
		}
	}
}

func TestBaseMixKeepsItsRateForTheWholeRun(t *testing.T) {
	plan := Plan(3*time.Second, []Stream{{Operation: "base", PerSecond: 4}}, Phases())
	count := 0
	for i, due := range plan {
		if i > 0 && due.At < plan[i-1].At {
			t.Fatalf("request %d is due at %v, before its predecessor at %v", i, due.At, plan[i-1].At)
		}
		if due.Stream.Operation == "base" {
			count++
		}
	}
	if count != 12 {
		t.Errorf("got %d base requests in 3s at 4 per second, want 12", count)
	}
}
