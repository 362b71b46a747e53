//! What is remembered of files that were searched for rows to replace: the times in them.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

/// Times of all files together: 16 MiB. Half an hour of flushes every five seconds, of five thousand spans each.
const LIMIT: usize = 2 * 1024 * 1024;
/// What a file counts beside its times, for its name.
const PER_FILE: usize = 32;

/// The distinct values of the time column, by file: whether a file may hold a key is told without reading it again.
///
/// Files never change, so what is remembered stays right. What was learned first is forgotten first.
#[derive(Debug)]
pub(crate) struct FileTimes {
    limit: usize,
    counted: usize,
    files: HashMap<PathBuf, Box<[i64]>>,
    /// The keys of `files`, in the order in which they came.
    order: VecDeque<PathBuf>,
}

impl Default for FileTimes {
    fn default() -> Self {
        Self::with_limit(LIMIT)
    }
}

impl FileTimes {
    fn with_limit(limit: usize) -> Self {
        Self {
            limit,
            counted: 0,
            files: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Sorted distinct times of the rows of a file, if they are remembered.
    pub(crate) fn get(&self, file: &Path) -> Option<&[i64]> {
        self.files.get(file).map(|times_ns| &**times_ns)
    }

    /// Remembers a file whose rows have these times, in any order.
    pub(crate) fn learn(&mut self, file: &Path, mut times_ns: Vec<i64>) {
        times_ns.sort_unstable();
        times_ns.dedup();
        self.forget(file);
        let count = times_ns.len() + PER_FILE;
        if count > self.limit {
            return;
        }
        while self.counted + count > self.limit {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.drop_times(&oldest);
        }
        self.counted += count;
        self.order.push_back(file.to_owned());
        self.files.insert(file.to_owned(), times_ns.into());
    }

    /// Forgets a file that the table no longer has.
    pub(crate) fn forget(&mut self, file: &Path) {
        if self.drop_times(file) {
            self.order.retain(|each| each != file);
        }
    }

    fn drop_times(&mut self, file: &Path) -> bool {
        let Some(times_ns) = self.files.remove(file) else {
            return false;
        };
        self.counted -= times_ns.len() + PER_FILE;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_learned_first_is_forgotten_first_and_the_limit_holds() {
        let mut times = FileTimes::with_limit(2 * (PER_FILE + 3));
        let [a, b, c] = ["a", "b", "c"].map(Path::new);
        times.learn(a, vec![3, 1, 2, 3]);
        times.learn(b, vec![4, 5, 6]);
        assert_eq!(times.get(a), Some([1, 2, 3].as_slice()));
        times.learn(c, vec![7]);
        assert_eq!((times.get(a), times.get(c)), (None, Some([7].as_slice())));
        times.forget(b);
        times.learn(a, vec![8]);
        assert!(times.get(c).is_some(), "there was room");
        assert_eq!(times.counted, 2 * (PER_FILE + 1));
        assert_eq!(times.order, [c, a]);
    }

    #[test]
    fn a_file_above_the_limit_is_not_remembered() {
        let mut times = FileTimes::with_limit(PER_FILE);
        times.learn(Path::new("a"), vec![1]);
        assert_eq!((times.get(Path::new("a")), times.counted), (None, 0));
    }
}
