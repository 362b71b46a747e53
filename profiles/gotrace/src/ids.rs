//! Identities that a trace names: goroutines, procs, threads, user tasks, strings and stacks.
//!
//! On the wire "none" is 2^64 - 1 (Go's -1). The id types store the wire number plus one in a non-zero integer, so
//! that `Option<GoroutineId>` is as large as the number itself and "none" needs no special case.

use std::num::{NonZeroU32, NonZeroU64};

macro_rules! wire_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id with this wire number; `None` for 2^64 - 1, Go's "no such thing".
            #[inline]
            pub const fn new(number: u64) -> Option<Self> {
                match NonZeroU64::new(number.wrapping_add(1)) {
                    Some(stored) => Some(Self(stored)),
                    None => None,
                }
            }

            /// The number as Go prints it.
            #[inline]
            pub const fn get(self) -> u64 {
                self.0.get().wrapping_sub(1)
            }
        }

        shown_as_number!($name);
    };
}

macro_rules! shown_as_number {
    ($name:ident) => {
        impl From<$name> for u64 {
            #[inline]
            fn from(id: $name) -> u64 {
                id.get()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.get())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.get().fmt(f)
            }
        }
    };
}

wire_id!(
    /// A goroutine (G). Unique within a process, except that a cgo callback may reuse the id of an earlier callback.
    GoroutineId
);

/// A proc (P): the right to run Go code, numbered from 0 to GOMAXPROCS - 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcId(NonZeroU32);

impl ProcId {
    /// The proc with this wire number; `None` for 2^64 - 1, Go's "no such thing", and for numbers of 2^32 - 1 and above:
    /// Go counts procs in 32 bits.
    #[inline]
    pub const fn new(number: u64) -> Option<Self> {
        if number >= u32::MAX as u64 {
            return None;
        }
        match NonZeroU32::new((number as u32).wrapping_add(1)) {
            Some(stored) => Some(Self(stored)),
            None => None,
        }
    }

    /// The number as Go prints it.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0.get().wrapping_sub(1) as u64
    }
}

shown_as_number!(ProcId);

wire_id!(
    /// A thread (M): the operating system's thread id (`gettid` on Linux).
    ThreadId
);
wire_id!(
    /// A user task made by `runtime/trace.NewTask`. See [`TaskId::BACKGROUND`].
    TaskId
);

impl TaskId {
    /// The task of regions and logs outside every task.
    pub const BACKGROUND: Self = Self(NonZeroU64::MIN);
}

/// A string. The id belongs to the table that it came with: that of a generation
/// ([`Events::strings`](crate::Events::strings)) or that of the whole trace ([`Symbols`](crate::Symbols)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StringId(pub(crate) u32);

impl StringId {
    /// The empty string, which every table holds.
    pub const EMPTY: Self = Self(0);

    /// Position in the table, counted from 0.
    pub fn index(self) -> usize {
        index(self.0)
    }
}

/// A call stack. The id belongs to the table that it came with: that of a generation
/// ([`Events::stacks`](crate::Events::stacks)) or that of the whole trace ([`Symbols`](crate::Symbols)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub(crate) NonZeroU32);

impl StackId {
    /// Position in the table, counted from 0.
    pub fn index(self) -> usize {
        index(self.0.get().saturating_sub(1))
    }
}

/// Widens a table position; no supported target has a `usize` below 32 bits.
pub(crate) fn index(position: u32) -> usize {
    usize::try_from(position).expect("usize has at least 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_number_for_none_is_no_id() {
        assert_eq!(GoroutineId::new(u64::MAX), None);
        assert_eq!(GoroutineId::new(0).map(GoroutineId::get), Some(0));
        assert_eq!(ThreadId::new(u64::MAX - 1).map(ThreadId::get), Some(u64::MAX - 1));
        assert_eq!(TaskId::BACKGROUND.get(), 0);
    }

    #[test]
    fn an_absent_id_costs_no_space() {
        assert_eq!(size_of::<Option<GoroutineId>>(), size_of::<u64>());
        assert_eq!(size_of::<Option<StackId>>(), size_of::<u32>());
    }
}
