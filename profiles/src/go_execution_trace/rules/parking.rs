//! The runtime's own functions at the innermost end of a stack.
//!
//! When a goroutine blocks, the runtime leaves its own functions out of the stack that it records. In the status of a
//! goroutine that has been blocked for a whole generation (Go 1.23 and later) it does not, and gives no reason. There
//! these functions tell the reason:
//!
//! ```text
//! when it blocks    network   internal/poll.(*FD).Accept, net.(*netFD).accept, ...
//! status            -         runtime.gopark, runtime.netpollblock, internal/poll.runtime_pollWait,
//!                             internal/poll.(*pollDesc).wait, internal/poll.(*pollDesc).waitRead,
//!                             internal/poll.(*FD).Accept, net.(*netFD).accept, ...
//! ```

use super::{COROUTINE, SYSCALL};

/// What a function at the innermost end of a stack is.
#[derive(Clone, Copy)]
enum Parking {
    /// One that the runtime leaves out when it knows the reason.
    LeftOut(Option<&'static str>),
    /// One that the runtime records in either case.
    Kept(&'static str),
}

use Parking::{Kept, LeftOut};

const SYNC: &str = "sync";
const NETWORK: &str = "network";
const SYSTEM: &str = "system goroutine wait";

/// By name, for a binary search. `(*T)` sorts before letters.
const PARKING: &[(&str, Parking)] = &[
    ("internal/poll.(*pollDesc).wait", LeftOut(Some(NETWORK))),
    ("internal/poll.(*pollDesc).waitRead", LeftOut(Some(NETWORK))),
    ("internal/poll.(*pollDesc).waitWrite", LeftOut(Some(NETWORK))),
    ("internal/poll.runtime_Semacquire", LeftOut(Some(SYNC))),
    ("internal/poll.runtime_pollWait", LeftOut(Some(NETWORK))),
    ("internal/sync.(*Mutex).lockSlow", LeftOut(Some(SYNC))),
    ("internal/sync.runtime_SemacquireMutex", LeftOut(Some(SYNC))),
    ("runtime.(*cleanupQueue).dequeue", Kept(SYSTEM)),
    ("runtime.(*scavengerState).park", Kept(SYSTEM)),
    ("runtime.(*scavengerState).sleep", Kept("sleep")),
    ("runtime.bgsweep", Kept("GC background sweeper wait")),
    ("runtime.block", Kept("forever")),
    ("runtime.cgocall", Kept(SYSCALL)),
    ("runtime.chanrecv", LeftOut(Some("chan receive"))),
    ("runtime.chansend", LeftOut(Some("chan send"))),
    ("runtime.coroswitch", Kept(COROUTINE)),
    ("runtime.forcegchelper", Kept(SYSTEM)),
    ("runtime.gcBgMarkWorker", Kept(SYSTEM)),
    ("runtime.gcParkAssist", Kept("GC mark assist wait for work")),
    ("runtime.gcWaitOnMark", Kept("wait until GC ends")),
    ("runtime.gopark", LeftOut(None)),
    ("runtime.goparkunlock", LeftOut(None)),
    ("runtime.netpollblock", LeftOut(Some(NETWORK))),
    ("runtime.notetsleepg", LeftOut(None)),
    ("runtime.runFinalizers", Kept(SYSTEM)),
    ("runtime.runfinq", Kept(SYSTEM)),
    ("runtime.selectgo", Kept("select")),
    ("runtime.semacquire", LeftOut(Some(SYNC))),
    ("runtime.semacquire1", LeftOut(Some(SYNC))),
    ("runtime.updateMaxProcsGoroutine", Kept(SYSTEM)),
    ("sync.(*Mutex).lockSlow", LeftOut(Some(SYNC))),
    ("sync.runtime_Semacquire", LeftOut(Some(SYNC))),
    ("sync.runtime_SemacquireMutex", LeftOut(Some(SYNC))),
    ("sync.runtime_SemacquireRWMutex", LeftOut(Some(SYNC))),
    ("sync.runtime_SemacquireRWMutexR", LeftOut(Some(SYNC))),
    ("sync.runtime_SemacquireWaitGroup", LeftOut(Some(SYNC))),
    ("sync.runtime_notifyListWait", LeftOut(Some("sync.(*Cond).Wait"))),
    ("syscall.RawSyscall6", LeftOut(None)),
    ("syscall.Syscall", LeftOut(None)),
    ("syscall.Syscall6", LeftOut(None)),
    ("time.Sleep", Kept("sleep")),
];

/// Most functions that are left out of one stack, with some room.
pub(super) const LEFT_OUT_MAX: usize = 8;

/// A stack without the functions that the runtime may leave out, and the reason that they tell.
pub(super) fn parking<'s, 'f>(functions: &'s [&'f str]) -> (&'s [&'f str], Option<&'static str>) {
    let mut reason = None;
    let mut rest = functions;
    while let Some((innermost, callers)) = rest.split_first() {
        let Ok(at) = PARKING.binary_search_by_key(innermost, |(function, _)| function) else {
            break;
        };
        match PARKING[at].1 {
            LeftOut(tells) => reason = reason.or(tells),
            Kept(tells) => {
                reason = reason.or(Some(tells));
                break;
            }
        }
        rest = callers;
    }
    (rest, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_sorted_and_unique() {
        assert!(PARKING.is_sorted_by(|left, right| left.0 < right.0));
    }

    #[test]
    fn a_status_tells_the_reason_and_loses_what_the_runtime_leaves_out() {
        let status = [
            "runtime.gopark",
            "runtime.goparkunlock",
            "runtime.semacquire1",
            "internal/sync.runtime_SemacquireMutex",
            "internal/sync.(*Mutex).lockSlow",
            "internal/sync.(*Mutex).Lock",
            "sync.(*Mutex).Lock",
            "main.work",
        ];
        assert_eq!(parking(&status), (&status[5..], Some("sync")));
        let status = ["runtime.gopark", "runtime.selectgo", "main.work"];
        assert_eq!(parking(&status), (&status[1..], Some("select")));
    }

    #[test]
    fn a_stack_that_says_nothing_stays_as_it_is() {
        let functions = ["main.work", "main.main"];
        assert_eq!(parking(&functions), (&functions[..], None));
        assert_eq!(parking(&[]), (&[][..], None));
    }
}
