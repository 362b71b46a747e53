//! What shop is slow at, on purpose, and what the views must say about it.

/// An operation with one injected cause.
#[derive(Clone, Copy, Debug)]
pub struct SlowOperation {
    /// Span name of its requests.
    pub operation: &'static str,
    /// Layer of the cell that holds most of their time.
    pub layer: &'static str,
    /// State of that cell.
    pub state: &'static str,
    /// The injected cause, and why it shows there. The self view says what the request's own goroutine did.
    pub why: &'static str,
}

/// Every slow operation, and the operations that hold what others wait for.
pub const SLOW_OPERATIONS: [SlowOperation; 12] = [
    slow(
        "GET /search",
        "db",
        "network",
        "the plan sleeps in PostgreSQL; the client waits for the socket",
    ),
    slow("GET /shipping", "service", "sleep", "two backoffs with time.Sleep"),
    slow(
        "GET /receipt",
        "service",
        "syscall",
        "a read on a descriptor that the network poller does not know",
    ),
    slow(
        "GET /invoices",
        "db",
        "select",
        "the one connection is taken; database/sql waits for it in a select",
    ),
    slow(
        "POST /reservations",
        "service",
        "mutex",
        "POST /stock/audit sleeps with the mutex held",
    ),
    slow(
        "GET /recommendations",
        "cache",
        "network",
        "bursts rebuild expired entries in single-threaded Redis",
    ),
    slow(
        "POST /thumbnails",
        "service",
        "channel",
        "a burst queues for one worker; each waits for its result",
    ),
    slow(
        "GET /feed",
        "service",
        "gc_assist",
        "GOGC=2 on a large heap makes allocations pay for marking",
    ),
    slow(
        "GET /quote",
        "service",
        "runnable",
        "POST /reindex spins on every processor; the request waits its turn",
    ),
    slow(
        "POST /ledger/close",
        "db",
        "network",
        "holds the ledger's connection during a slow statement",
    ),
    slow("POST /stock/audit", "service", "sleep", "sleeps with the mutex held"),
    slow(
        "POST /reindex",
        "service",
        "waitgroup",
        "waits for the goroutines that spin",
    ),
];

const fn slow(operation: &'static str, layer: &'static str, state: &'static str, why: &'static str) -> SlowOperation {
    SlowOperation {
        operation,
        layer,
        state,
        why,
    }
}

/// Requests that wait for other requests.
#[derive(Clone, Copy, Debug)]
pub struct Interference {
    /// Span name of the requests that wait.
    pub victim: &'static str,
    /// State in which they wait.
    pub waits_in: &'static str,
    /// Span name of the requests that they wait for most.
    pub culprit: &'static str,
    /// What those do meanwhile.
    pub culprit_state: &'static str,
}

/// Who waits for whom in [`SLOW_OPERATIONS`], which the root view must say.
pub const INTERFERENCE: [Interference; 3] = [
    interference("GET /invoices", "select", "POST /ledger/close", "network"),
    interference("POST /reservations", "mutex", "POST /stock/audit", "sleep"),
    interference("POST /thumbnails", "channel", "POST /thumbnails", "running"),
];

const fn interference(
    victim: &'static str,
    waits_in: &'static str,
    culprit: &'static str,
    culprit_state: &'static str,
) -> Interference {
    Interference {
        victim,
        waits_in,
        culprit,
        culprit_state,
    }
}
