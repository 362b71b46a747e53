//! The built-in rules for waits.
//!
//! Reasons are those of `runtime/traceruntime.go`. Frames were read off traces of Go 1.22 to 1.27; where a function
//! moved or was renamed, each name has a rule. A rule with frames stands before the one without.
//!
//! How many frames a rule looks at keeps it to the wait itself: a mutex is a mutex, even where a `sync.Once` calls the
//! function that locks it. [`WIRE`] frames reach from the poller through TLS and buffers to what is being read.

use spandrel_model::{FunctionPattern, State};

use super::{COROUTINE, Reason, Rule, SubStates};

/// A rule as it stands in the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct BuiltIn {
    pub(super) reason: &'static str,
    pub(super) frames: &'static [&'static str],
    pub(super) within: usize,
    pub(super) only_ended_externally: bool,
    pub(super) state: State,
    pub(super) sub_state: &'static str,
}

impl BuiltIn {
    pub(super) fn checked(&self, words: &mut SubStates) -> Rule {
        Rule {
            reason: Reason::Exactly(self.reason.into()),
            frames: self
                .frames
                .iter()
                .map(|pattern| FunctionPattern::new(pattern))
                .collect(),
            within: self.within,
            only_ended_externally: self.only_ended_externally,
            gives: words.outcome(self.state, self.sub_state),
        }
    }
}

/// A wait for `reason` with `frames` among the innermost `within`.
pub(super) const fn at(
    within: usize,
    reason: &'static str,
    frames: &'static [&'static str],
    state: State,
    sub_state: &'static str,
) -> BuiltIn {
    BuiltIn {
        reason,
        frames,
        within,
        only_ended_externally: false,
        state,
        sub_state,
    }
}

/// Any wait for `reason`.
pub(super) const fn any(reason: &'static str, state: State, sub_state: &'static str) -> BuiltIn {
    at(0, reason, &[], state, sub_state)
}

/// A wait that no goroutine ends. The network poller readies only goroutines that wait for the network; of channel
/// operations and selects, what no goroutine ends is ended by a timer.
const fn timer(reason: &'static str) -> BuiltIn {
    BuiltIn {
        only_ended_externally: true,
        ..any(reason, State::Sleep, "timer")
    }
}

const NETWORK: &str = "network";
const SYNC: &str = "sync";
const SELECT: &str = "select";
const SEND: &str = "chan send";
const RECEIVE: &str = "chan receive";
const COND: &str = "sync.(*Cond).Wait";
const SYSTEM: &str = "system goroutine wait";

/// Frames from the poller to the caller of a protocol, TLS and buffered readers included.
const WIRE: usize = 24;

// A rule a line, where it fits.
#[rustfmt::skip]
pub(super) const WAITS: &[BuiltIn] = &[
    // What is read, before the kind of descriptor.
    at(12, NETWORK, &["net.(*Resolver)"], State::Network, "dns"),
    at(WIRE, NETWORK, &["crypto/tls.(*Conn).handshakeContext"], State::Network, "tls_handshake"),
    at(WIRE, NETWORK, &["net/http.(*body)"], State::Network, "http_body"),
    at(
        WIRE,
        NETWORK,
        &["net/http.(*connReader).Read", "bufio.(*Reader).Peek", "net/http.(*conn).serve"],
        State::Network,
        "http_idle",
    ),
    at(WIRE, NETWORK, &["net/http.(*conn).readRequest"], State::Network, "http_request"),
    at(WIRE, NETWORK, &["net/http.(*connReader).backgroundRead"], State::Network, "http_watch"),
    at(WIRE, NETWORK, &["net/http.(*persistConn).readLoop"], State::Network, "http_response"),
    // HTTP/2 lives in net/http (to Go 1.26), net/http/internal/http2 and golang.org/x/net/http2.
    at(WIRE, NETWORK, &["*http2*Framer).ReadFrame*"], State::Network, "http2_frames"),
    at(WIRE, NETWORK, &["*http2*serverConn).readPreface"], State::Network, "http2_frames"),
    at(4, NETWORK, &["net.(*netFD).connect"], State::Network, "connect"),
    at(4, NETWORK, &["internal/poll.(*FD).Accept"], State::Network, "accept"),
    at(4, NETWORK, &["internal/poll.(*FD).Read*", "os.(*File)"], State::Network, "file_read"),
    at(4, NETWORK, &["internal/poll.(*FD).Write*", "os.(*File)"], State::Network, "file_write"),
    at(4, NETWORK, &["internal/poll.(*FD).Write*"], State::Network, "write"),
    at(4, NETWORK, &["internal/poll.(*FD).RawWrite"], State::Network, "write"),
    at(4, NETWORK, &["internal/poll.SendFile"], State::Network, "write"),
    at(4, NETWORK, &["internal/poll.splicePump"], State::Network, "write"),
    at(4, NETWORK, &["internal/poll.(*FD).Read*"], State::Network, "read"),
    at(4, NETWORK, &["internal/poll.(*FD).RawRead"], State::Network, "read"),
    at(4, NETWORK, &["internal/poll.spliceDrain"], State::Network, "read"),
    any(NETWORK, State::Network, ""),
    // Whatever allocates may have to start or finish a collection, so these frames come before the program's.
    at(4, SYNC, &["runtime.gcStart"], State::GcOther, "gc_start"),
    at(4, SYNC, &["runtime.gcMarkDone"], State::GcOther, "mark_done"),
    at(4, SYNC, &["runtime.stopTheWorld*"], State::GcOther, "stop_the_world"),
    at(4, SYNC, &["runtime.trace*"], State::Sync, "tracer"),
    at(4, SYNC, &["runtime.StartTrace"], State::Sync, "tracer"),
    at(4, SYNC, &["runtime.StopTrace"], State::Sync, "tracer"),
    at(4, SYNC, &["runtime/metrics"], State::Sync, "metrics"),
    at(4, SYNC, &["*goroutineProfile*"], State::Sync, "goroutine_profile"),
    // RWMutex and Once are built on Mutex.
    at(3, SYNC, &["sync.(*RWMutex).RLock"], State::RwMutex, "read"),
    at(3, SYNC, &["sync.(*RWMutex).Lock"], State::RwMutex, "write"),
    at(2, SYNC, &["sync.(*Mutex).Lock", "sync.(*Once)"], State::Once, ""),
    at(3, SYNC, &["internal/sync.(*Mutex).Lock", "sync.(*Mutex).Lock", "sync.(*Once)"], State::Once, ""),
    at(
        2,
        SYNC,
        &["sync.(*WaitGroup).Wait", "golang.org/x/sync/errgroup.(*Group).Wait"],
        State::WaitGroup,
        "errgroup",
    ),
    at(
        2,
        SYNC,
        &["sync.(*WaitGroup).Wait", "golang.org/x/sync/singleflight.(*Group)"],
        State::WaitGroup,
        "singleflight",
    ),
    at(1, SYNC, &["sync.(*WaitGroup)"], State::WaitGroup, ""),
    at(1, SYNC, &["internal/poll.(*fdMutex)"], State::Sync, "fd_mutex"),
    at(1, SYNC, &["internal/poll.(*FD).Close"], State::Sync, "fd_close"),
    at(1, SYNC, &["sync.(*Mutex)"], State::Mutex, ""),
    at(1, SYNC, &["internal/sync.(*Mutex)"], State::Mutex, ""),
    any(SYNC, State::Sync, ""),
    at(2, COND, &["*http2*pipe).Read"], State::Cond, "http_body"),
    any(COND, State::Cond, ""),
    at(2, SEND, &["golang.org/x/sync/errgroup.(*Group).Go"], State::Channel, "errgroup_limit"),
    at(2, SEND, &["io.(*pipe).read"], State::Channel, "pipe_read"),
    timer(SEND),
    any(SEND, State::Channel, "send"),
    at(2, RECEIVE, &["runtime.gcBgMarkStartWorkers"], State::GcOther, "gc_start"),
    at(2, RECEIVE, &["runtime.(*wakeableSleep).sleep"], State::Other, "tracer"),
    at(2, RECEIVE, &["runtime.unique_runtime_registerUniqueMapCleanup"], State::Other, "cleanups"),
    at(2, RECEIVE, &["net.(*Resolver)"], State::Channel, "dns"),
    at(2, RECEIVE, &["net/http.(*persistConn).addTLS"], State::Channel, "tls_handshake"),
    at(2, RECEIVE, &["*http2*clientConnPool)"], State::Channel, "http_connection"),
    at(2, RECEIVE, &["os/exec.(*Cmd).awaitGoroutines"], State::Channel, "process_output"),
    at(2, RECEIVE, &["io.(*pipe).write"], State::Channel, "pipe_write"),
    at(2, RECEIVE, &["database/sql.(*Tx).awaitDone"], State::Channel, "db_helper"),
    timer(RECEIVE),
    any(RECEIVE, State::Channel, "recv"),
    at(2, SELECT, &["database/sql.(*DB).conn"], State::Select, "db_pool"),
    at(2, SELECT, &["database/sql.(*DB).connectionOpener"], State::Select, "db_helper"),
    at(2, SELECT, &["database/sql.(*Rows).awaitDone"], State::Select, "db_helper"),
    at(2, SELECT, &["golang.org/x/sync/semaphore.(*Weighted)"], State::Select, "semaphore"),
    at(2, SELECT, &["golang.org/x/time/rate.(*Limiter)"], State::Sleep, "rate_limit"),
    at(2, SELECT, &["net.(*Resolver)"], State::Select, "dns"),
    at(2, SELECT, &["net.doBlockingWithCtx"], State::Select, "dns"),
    at(2, SELECT, &["net.(*sysDialer).dialParallel"], State::Select, "connect"),
    at(2, SELECT, &["net/http.(*Transport).getConn"], State::Select, "http_connection"),
    at(2, SELECT, &["net/http.(*persistConn).roundTrip"], State::Select, "http_response"),
    at(2, SELECT, &["*http2*ClientConn).roundTrip"], State::Select, "http_response"),
    at(2, SELECT, &["*http2*ClientConn).RoundTrip"], State::Select, "http_response"),
    at(2, SELECT, &["*http2*serverConn).writeDataFromHandler"], State::Select, "http_write"),
    at(2, SELECT, &["*http2*serverConn).writeHeaders"], State::Select, "http_write"),
    at(2, SELECT, &["net/http.(*persistConn)"], State::Select, "http_helper"),
    at(2, SELECT, &["*http2*serverConn)"], State::Select, "http_helper"),
    at(2, SELECT, &["*http2*clientStream)"], State::Select, "http_helper"),
    at(2, SELECT, &["io.(*pipe).read"], State::Select, "pipe_read"),
    at(2, SELECT, &["io.(*pipe).write"], State::Select, "pipe_write"),
    at(2, SELECT, &["context.(*cancelCtx).propagateCancel"], State::Select, "context"),
    at(2, SELECT, &["os/exec.(*Cmd).awaitGoroutines"], State::Select, "process_output"),
    at(2, SELECT, &["runtime.(*wakeableSleep).sleep"], State::Other, "tracer"),
    at(2, SELECT, &["runtime.ensureSigM"], State::Other, "signals"),
    timer(SELECT),
    any(SELECT, State::Select, ""),
    at(4, "sleep", &["runtime.bgscavenge"], State::Other, "scavenger"),
    any("sleep", State::Sleep, ""),
    any("GC mark assist wait for work", State::GcAssist, "wait_for_work"),
    any("GC background sweeper wait", State::GcOther, "background_sweeper"),
    any("GC weak to strong wait", State::GcOther, "weak_to_strong"),
    any("wait until GC ends", State::GcOther, "until_gc_ends"),
    any("preempted", State::GcOther, "suspended"),
    at(2, "forever", &["runtime.chan*"], State::Forever, "nil_channel"),
    at(2, "forever", &["runtime.block"], State::Forever, "empty_select"),
    any("forever", State::Forever, ""),
    at(4, SYSTEM, &["runtime.gcBgMarkWorker"], State::Other, "gc_worker"),
    at(4, SYSTEM, &["runtime.bgscavenge"], State::Other, "scavenger"),
    at(4, SYSTEM, &["runtime.forcegchelper"], State::Other, "force_gc"),
    at(4, SYSTEM, &["runtime.runFinalizers"], State::Other, "finalizers"),
    at(4, SYSTEM, &["runtime.runfinq"], State::Other, "finalizers"),
    at(4, SYSTEM, &["runtime.runCleanups"], State::Other, "cleanups"),
    at(4, SYSTEM, &["runtime.updateMaxProcsGoroutine"], State::Other, "gomaxprocs"),
    at(4, SYSTEM, &["runtime/trace"], State::Other, "tracer"),
    any(SYSTEM, State::Other, "system"),
    any("wait for debug call", State::Other, "debug_call"),
    any("synctest", State::Other, "synctest"),
    any(COROUTINE, State::Other, "coroutine"),
    any("unspecified", State::Other, ""),
];
