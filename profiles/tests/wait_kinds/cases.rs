//! What each function of the program waits for, and which word that must be.

/// One way to stand still.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Functions on the stack, innermost first, not necessarily next to each other; any of the lists.
    pub(crate) stacks: &'static [&'static [&'static str]],
    /// `state` or `state/sub_state`, of most of the time at these stacks.
    pub(crate) word: &'static str,
    pub(crate) presence: Presence,
    /// Whether it is seen if it begins before the recording, for which it must last for whole generations.
    pub(crate) begins_early: bool,
    /// Its word then, if that is another one: the stack alone says less than the reason.
    early_word: Option<&'static str>,
}

impl Case {
    /// The word of a wait that begins before the recording, or after.
    pub(crate) fn word_if(&self, is_early: bool) -> &'static str {
        self.early_word.filter(|_| is_early).unwrap_or(self.word)
    }
}

/// When a case is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In every recording of every Go.
    Always,
    /// In some: it depends on the version of Go, on how it was built, or on how the threads happened to run.
    Sometimes,
}

const fn wait(name: &'static str, stacks: &'static [&'static [&'static str]], word: &'static str) -> Case {
    Case {
        name,
        stacks,
        word,
        presence: Presence::Always,
        begins_early: true,
        early_word: None,
    }
}

/// A wait that is over quickly.
const fn brief(name: &'static str, stacks: &'static [&'static [&'static str]], word: &'static str) -> Case {
    Case {
        begins_early: false,
        ..wait(name, stacks, word)
    }
}

const fn sometimes(name: &'static str, stacks: &'static [&'static [&'static str]], word: &'static str) -> Case {
    Case {
        presence: Presence::Sometimes,
        ..brief(name, stacks, word)
    }
}

const fn early(case: Case, word: &'static str) -> Case {
    Case {
        early_word: Some(word),
        ..case
    }
}

// A case a line, where it fits.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = &[
    wait("mutex", &[&["main.mutex"]], "mutex"),
    wait("rwmutex read", &[&["main.rwMutexRead"]], "rwmutex/read"),
    wait("rwmutex write after reader", &[&["main.rwMutexWriteAfterReader"]], "rwmutex/write"),
    wait("rwmutex write after writer", &[&["main.rwMutexWriteAfterWriter"]], "rwmutex/write"),
    wait("wait group", &[&["main.waitGroup"]], "waitgroup"),
    wait("once", &[&["sync.(*Mutex).Lock", "main.once"]], "once"),
    wait("once value", &[&["sync.(*Mutex).Lock", "main.onceValue"]], "once"),
    wait("cond", &[&["main.cond"]], "cond"),
    wait("channel send", &[&["main.chanSend"]], "channel/send"),
    wait("channel receive", &[&["main.chanReceive"]], "channel/recv"),
    wait("channel range", &[&["main.chanRange"]], "channel/recv"),
    wait("select", &[&["main.selectTwo"]], "select"),
    wait("select of one", &[&["main.selectOne"]], "channel/recv"),
    wait("sleep", &[&["main.sleep"]], "sleep"),
    wait("timer channel", &[&["main.timerChannel"]], "sleep/timer"),
    wait("timer in select", &[&["main.timerSelect"]], "sleep/timer"),
    wait("context in select", &[&["main.contextSelect"]], "select"),
    wait("context timeout", &[&["main.contextTimeout"]], "channel/recv"),
    wait("foreign context", &[&["context.(*cancelCtx).propagateCancel.func2"]], "select/context"),
    wait("pipe read", &[&["main.pipeRead"]], "select/pipe_read"),
    wait("pipe write", &[&["main.pipeWrite"]], "select/pipe_write"),
    wait("sql pool", &[&["main.sqlPool"]], "select/db_pool"),
    wait("sql pool timeout", &[&["main.sqlPoolTimeout"]], "select/db_pool"),
    wait("sql opener", &[&["database/sql.(*DB).connectionOpener"]], "select/db_helper"),
    wait("singleflight", &[&["sync.(*WaitGroup).Wait", "main.singleFlight"]], "waitgroup/singleflight"),
    wait("errgroup wait", &[&["sync.(*WaitGroup).Wait", "main.errGroupWait"]], "waitgroup/errgroup"),
    wait("errgroup limit", &[&["main.errGroupLimit"]], "channel/errgroup_limit"),
    wait("semaphore", &[&["main.semaphoreAcquire"]], "select/semaphore"),
    wait("rate limit", &[&["main.rateLimit"]], "sleep/rate_limit"),
    wait("network read", &[&["main.networkRead"]], "network/read"),
    wait("network write", &[&["internal/poll.(*FD).Write", "main.networkWrite"]], "network/write"),
    wait("network accept", &[&["main.networkAccept"]], "network/accept"),
    wait("network connect", &[&["main.networkConnect"]], "network/connect"),
    wait("datagram read", &[&["main.datagramRead"]], "network/read"),
    wait("unix socket read", &[&["main.unixRead"]], "network/read"),
    wait("dns exchange", &[&["main.dnsText"]], "network/dns"),
    wait("dns lookup", &[&["runtime.chanrecv1", "net.(*Resolver).lookupHost", "main.dnsLookup"]], "channel/dns"),
    wait("tls client handshake", &[&["main.tlsClient"]], "network/tls_handshake"),
    wait("tls server handshake", &[&["main.tlsServer"]], "network/tls_handshake"),
    wait("fd mutex", &[&["internal/poll.(*fdMutex).rwlock", "main.fdMutex"]], "sync/fd_mutex"),
    wait("fd close", &[&["internal/poll.(*FD).Close", "main.fdClose"]], "sync/fd_close"),
    wait("http idle", &[&["bufio.(*Reader).Peek", "net/http.(*conn).serve"]], "network/http_idle"),
    wait("http first request", &[&["net/http.(*conn).readRequest"]], "network/http_request"),
    wait("http watch", &[&["net/http.(*connReader).backgroundRead"]], "network/http_watch"),
    wait("http response", &[&["net/http.(*persistConn).roundTrip", "main.httpResponse"]], "select/http_response"),
    wait("http client read", &[&["internal/poll.(*FD).Read", "net/http.(*persistConn).readLoop"]], "network/http_response"),
    wait("http request body", &[&["main.httpServerBody"]], "network/http_body"),
    wait("http response body", &[&["net/http.(*bodyEOFSignal).Read", "main.httpResponseBody"]], "network/http_body"),
    wait("http connection", &[&["net/http.(*Transport).getConn", "main.httpConnection"]], "select/http_connection"),
    wait("http writer", &[&["runtime.selectgo", "net/http.(*persistConn).writeLoop"]], "select/http_helper"),
    wait(
        "http2 response",
        &[
            &["net/http.(*http2ClientConn).RoundTrip", "main.http2Response"],
            &["net/http/internal/http2.(*ClientConn).RoundTrip", "main.http2Response"],
        ],
        "select/http_response",
    ),
    wait(
        "http2 response body",
        &[
            &["net/http.(*http2pipe).Read", "main.http2ResponseBody"],
            &["net/http/internal/http2.(*pipe).Read", "main.http2ResponseBody"],
        ],
        "cond/http_body",
    ),
    wait("http2 request body", &[&["main.http2ServerBody"]], "cond/http_body"),
    wait(
        "http2 client frames",
        &[
            &["internal/poll.(*FD).Read", "net/http.(*http2ClientConn).readLoop"],
            &["internal/poll.(*FD).Read", "net/http/internal/http2.(*ClientConn).readLoop"],
        ],
        "network/http2_frames",
    ),
    wait(
        "http2 server frames",
        &[
            &["internal/poll.(*FD).Read", "net/http.(*http2serverConn).readFrames"],
            &["internal/poll.(*FD).Read", "net/http/internal/http2.(*serverConn).readFrames"],
        ],
        "network/http2_frames",
    ),
    wait(
        "http2 server",
        &[
            &["runtime.selectgo", "net/http.(*http2serverConn).serve"],
            &["runtime.selectgo", "net/http/internal/http2.(*serverConn).serve"],
        ],
        "select/http_helper",
    ),
    brief(
        "http2 write",
        &[
            &["net/http.(*http2serverConn).writeDataFromHandler"],
            &["net/http/internal/http2.(*serverConn).writeDataFromHandler"],
        ],
        "select/http_write",
    ),
    brief("http tls", &[&["net/http.(*persistConn).addTLS", "net/http.(*Transport).dialConn"]], "channel/tls_handshake"),
    wait("file read", &[&["main.fileRead"]], "network/file_read"),
    wait("file write", &[&["main.fileWrite"]], "network/file_write"),
    wait("process output", &[&["os/exec.(*Cmd).awaitGoroutines", "main.processOutput"]], "channel/process_output"),
    early(wait("nil channel receive", &[&["main.nilReceiver"]], "forever/nil_channel"), "channel/recv"),
    early(wait("nil channel send", &[&["main.nilSender"]], "forever/nil_channel"), "channel/send"),
    wait("empty select", &[&["main.emptySelector"]], "forever/empty_select"),
    wait("process wait", &[&["os.(*Process).wait", "main.callProcess"]], "syscall/process_wait"),
    wait("blocking read", &[&["syscall.read", "main.callRead"]], "syscall/file_read"),
    wait("call sleep", &[&["main.callSleep"]], "syscall/sleep"),
    wait("call poll", &[&["syscall.EpollWait", "main.callPoll"]], "syscall/poll"),
    wait("call lock", &[&["syscall.Flock", "main.callLock"]], "syscall/file_lock"),
    brief("process start", &[&["syscall.forkExec"]], "syscall/process_start"),
    brief("file open", &[&["syscall.openat"]], "syscall/file_open"),
    brief("file call read", &[&["syscall.read", "main.callFiles"]], "syscall/file_read"),
    brief("file call read at", &[&["syscall.pread", "main.callFiles"]], "syscall/file_read"),
    brief("file call write", &[&["syscall.write", "main.callFiles"]], "syscall/file_write"),
    brief("file call write at", &[&["syscall.pwrite", "main.callFiles"]], "syscall/file_write"),
    brief("file sync", &[&["syscall.Fsync", "main.callFiles"]], "syscall/file_sync"),
    brief("file stat", &[&["syscall.Fstat", "os.(*File).Stat", "main.callFiles"]], "syscall/file_stat"),
    brief("path stat", &[&["syscall.Stat", "main.callFiles"]], "syscall/file_stat"),
    brief("file truncate", &[&["syscall.Ftruncate", "main.callFiles"]], "syscall/file_change"),
    brief("file rename", &[&["syscall.Rename", "main.callFiles"]], "syscall/file_change"),
    brief("file remove", &[&["syscall.Unlink", "main.callFiles"]], "syscall/file_change"),
    brief("file seek", &[&["syscall.Seek"]], "syscall/file_control"),
    brief("file close", &[&["syscall.Close", "os.(*file).close"]], "syscall/file_close"),
    brief("file copy", &[&["internal/poll.CopyFileRange", "main.callCopy"]], "syscall/file_copy"),
    brief("folder", &[&["syscall.Getdents", "main.callFolder"]], "syscall/file_list"),
    brief("memory map", &[&["syscall.mmap", "main.callMemory"], &["syscall.munmap", "main.callMemory"]], "syscall/memory"),
    brief("socket connect", &[&["syscall.connect", "net.(*netFD).connect"]], "syscall/net_connect"),
    brief("socket accept", &[&["syscall.accept4", "net.(*netFD).accept"]], "syscall/net_accept"),
    brief("socket read", &[&["syscall.read", "net.(*conn).Read"]], "syscall/net_read"),
    brief("socket write", &[&["syscall.write", "net.(*conn).Write"]], "syscall/net_write"),
    brief("socket datagram", &[&["syscall.recvfrom"]], "syscall/net_read"),
    brief("socket listen", &[&["syscall.Listen", "net.Listen"]], "syscall/net_setup"),
    brief("socket option", &[&["syscall.setsockopt"]], "syscall/net_setup"),
    brief("socket close", &[&["syscall.Close", "net.(*netFD).Close"]], "syscall/net_close"),
    brief("gc start", &[&["runtime.gcStart", "main.collect.func1"]], "gc_other/gc_start"),
    brief("gc end", &[&["runtime.gcWaitOnMark", "main.collect.func1"]], "gc_other/until_gc_ends"),
    brief("stop the world", &[&["runtime.stopTheWorld", "main.stopTheWorld.func1"]], "gc_other/stop_the_world"),
    brief("gc worker", &[&["runtime.gopark", "runtime.gcBgMarkWorker"]], "other/gc_worker"),
    brief("finalizers", &[&["runtime.runFinalizers"], &["runtime.runfinq"]], "other/finalizers"),
    brief("sweeper", &[&["runtime.bgsweep"]], "gc_other/background_sweeper"),
    brief("trace reader", &[&["runtime/trace.Start.func1"], &["runtime/trace.(*traceMultiplexer)"]], "other/tracer"),
    brief("trace advancer", &[&["runtime.(*wakeableSleep).sleep"]], "other/tracer"),
    sometimes("mark assist", &[&["runtime.gcParkAssist"]], "gc_assist/wait_for_work"),
    sometimes("mark done", &[&["runtime.gcMarkDone"]], "gc_other/mark_done"),
    sometimes("scavenger", &[&["runtime.(*scavengerState).park"]], "other/scavenger"),
    sometimes("metrics", &[&["runtime/metrics.runtime_readMetrics"]], "sync/metrics"),
    sometimes("cleanups", &[&["runtime.runCleanups"]], "other/cleanups"),
    sometimes("forced gc", &[&["runtime.forcegchelper"]], "other/force_gc"),
    sometimes("coroutine", &[&["runtime.coroswitch"], &["runtime.corostart"]], "other/coroutine"),
    sometimes("c code", &[&["main._Cfunc_usleep"]], "syscall/cgo"),
    sometimes("c resolver", &[&["net._C2func_getaddrinfo"]], "syscall/dns"),
    sometimes("c resolver wait", &[&["net.cgoLookupIP", "main.callResolver"]], "select/dns"),
    sometimes("call signal", &[&["os/signal.signal_recv"]], "syscall/signals"),
    sometimes("random", &[&["internal/syscall/unix.GetRandom"]], "syscall/random"),
];
