//! The built-in rules for system calls and C code.
//!
//! The runtime records the stack from the caller of the raw call outwards, which is nearly always a function of package
//! `syscall`, `internal/syscall/unix` or `golang.org/x/sys/unix` that has the call's name: `*.openat`.

use spandrel_model::State;

use super::SYSCALL;
use super::built_in::{BuiltIn, any, at};

/// A call by the innermost function.
const fn call(function: &'static [&'static str], sub_state: &'static str) -> BuiltIn {
    at(1, SYSCALL, function, State::Syscall, sub_state)
}

/// A call from within other functions.
const fn within(frames: usize, functions: &'static [&'static str], sub_state: &'static str) -> BuiltIn {
    at(frames, SYSCALL, functions, State::Syscall, sub_state)
}

// A rule a line.
#[rustfmt::skip]
pub(super) const SYSTEM_CALLS: &[BuiltIn] = &[
    // C code, in which a resolver may be found.
    within(8, &["net.cgoLookup*"], "dns"),
    within(2, &["net._C*"], "dns"),
    within(2, &["*._Cfunc_*"], "cgo"),
    within(2, &["*._C2func_*"], "cgo"),
    call(&["runtime.cgocall"], "cgo"),
    // The runtime's own sleeps on behalf of a goroutine.
    at(2, SYSCALL, &["runtime.gcStart"], State::GcOther, "gc_start"),
    at(2, SYSCALL, &["runtime.gcBgMarkStartWorkers"], State::GcOther, "gc_start"),
    within(2, &["os/signal.signal_recv"], "signals"),
    // Processes: before files, because starting one opens and closes some.
    within(4, &["syscall.forkExec"], "process_start"),
    within(4, &["os.checkPidfd"], "process_start"),
    call(&["os.(*Process).blockUntilWaitable"], "process_wait"),
    call(&["os.(*Process).pidfdWait"], "process_wait"),
    call(&["*.Waitid"], "process_wait"),
    call(&["*.wait4"], "process_wait"),
    // Sockets: by calls that only they know, and by the network connection around the others.
    call(&["*.accept"], "net_accept"),
    call(&["*.accept4"], "net_accept"),
    call(&["*.connect"], "net_connect"),
    call(&["*.recvfrom"], "net_read"),
    call(&["*.recvmsg*"], "net_read"),
    call(&["*.sendto*"], "net_write"),
    call(&["*.sendmsg*"], "net_write"),
    call(&["*.bind"], "net_setup"),
    call(&["*.Listen"], "net_setup"),
    call(&["*.Shutdown"], "net_setup"),
    call(&["*.getsockopt"], "net_setup"),
    call(&["*.setsockopt"], "net_setup"),
    within(8, &["*.read", "net.(*netFD)"], "net_read"),
    within(8, &["*.readv", "net.(*netFD)"], "net_read"),
    within(8, &["*.write", "net.(*netFD)"], "net_write"),
    within(8, &["*.writev", "net.(*netFD)"], "net_write"),
    within(8, &["*.Close", "net.(*netFD)"], "net_close"),
    // Files.
    within(4, &["internal/poll.(*FD).Fsync"], "file_sync"),
    call(&["*.Fsync"], "file_sync"),
    call(&["*.Fdatasync"], "file_sync"),
    call(&["*.SyncFileRange"], "file_sync"),
    call(&["*.read"], "file_read"),
    call(&["*.readv"], "file_read"),
    call(&["*.pread*"], "file_read"),
    call(&["*.write"], "file_write"),
    call(&["*.writev"], "file_write"),
    call(&["*.pwrite*"], "file_write"),
    call(&["*.CopyFileRange"], "file_copy"),
    call(&["*.sendfile"], "file_copy"),
    call(&["*.Splice"], "file_copy"),
    call(&["*.open"], "file_open"),
    call(&["*.Open"], "file_open"),
    call(&["*.openat*"], "file_open"),
    call(&["*.Close"], "file_close"),
    call(&["*.Stat*"], "file_stat"),
    call(&["*.Lstat"], "file_stat"),
    call(&["*.Fstat*"], "file_stat"),
    call(&["*.fstatat"], "file_stat"),
    call(&["*.faccessat*"], "file_stat"),
    call(&["*.readlinkat"], "file_stat"),
    call(&["*.Getdents"], "file_list"),
    call(&["*.Flock"], "file_lock"),
    call(&["*.FcntlFlock"], "file_lock"),
    call(&["*.Renameat*"], "file_change"),
    call(&["*.renameat*"], "file_change"),
    call(&["*.unlinkat"], "file_change"),
    call(&["*.Unlinkat"], "file_change"),
    call(&["*.Mkdirat"], "file_change"),
    call(&["*.linkat"], "file_change"),
    call(&["*.symlinkat"], "file_change"),
    call(&["*.Ftruncate"], "file_change"),
    call(&["*.Truncate"], "file_change"),
    call(&["*.Fchmod*"], "file_change"),
    call(&["*.fchmodat"], "file_change"),
    call(&["*.Fchown*"], "file_change"),
    call(&["*.utimensat"], "file_change"),
    call(&["*.Seek"], "file_control"),
    call(&["*.fcntl"], "file_control"),
    call(&["*.ioctl*"], "file_control"),
    call(&["*.mmap"], "memory"),
    call(&["*.munmap"], "memory"),
    call(&["*.Madvise"], "memory"),
    call(&["*.Mprotect"], "memory"),
    call(&["*.Msync"], "memory"),
    call(&["*.EpollWait"], "poll"),
    call(&["*.poll"], "poll"),
    call(&["*.ppoll"], "poll"),
    call(&["*.Select"], "poll"),
    call(&["*.pselect*"], "poll"),
    call(&["*.Nanosleep"], "sleep"),
    call(&["*.ClockNanosleep"], "sleep"),
    call(&["*.GetRandom"], "random"),
    any(SYSCALL, State::Syscall, ""),
];
