//! A file that remembers why the operating system refused to read it.
//!
//! The Parquet library passes on errors of pages as text, so they cannot be told from those of damaged content. Whether
//! a file is damaged must not be guessed from text: what passes, such as a shortage of memory, is no damage.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// Clones share the file and what is remembered of it.
#[derive(Clone, Debug)]
pub(crate) struct WatchedFile {
    file: Arc<File>,
    refusal: Refusal,
}

/// The first refusal that nobody has asked for yet.
#[derive(Clone, Debug, Default)]
struct Refusal(Arc<Mutex<Option<io::Error>>>);

impl WatchedFile {
    pub(crate) fn new(file: File) -> Self {
        Self {
            file: Arc::new(file),
            refusal: Refusal::default(),
        }
    }

    /// Why the operating system refused a read since this was last asked, if it did.
    pub(crate) fn take_refusal(&self) -> Option<io::Error> {
        self.refusal.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Length for WatchedFile {
    fn len(&self) -> u64 {
        self.file.len()
    }
}

impl ChunkReader for WatchedFile {
    type T = WatchedReader;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let reader = self.file.get_read(start);
        Ok(WatchedReader {
            reader: reader.inspect_err(|error| self.refusal.note_cause(error))?,
            refusal: self.refusal.clone(),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.file.get_bytes(start, length);
        bytes.inspect_err(|error| self.refusal.note_cause(error))
    }
}

/// A part of a [`WatchedFile`].
#[derive(Debug)]
pub(crate) struct WatchedReader {
    reader: BufReader<File>,
    refusal: Refusal,
}

impl Read for WatchedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer);
        read.inspect_err(|error| self.refusal.note(error))
    }
}

impl Refusal {
    fn note_cause(&self, error: &ParquetError) {
        if let ParquetError::External(cause) = error
            && let Some(cause) = cause.downcast_ref()
        {
            self.note(cause);
        }
    }

    fn note(&self, error: &io::Error) {
        // A read that a signal interrupts is repeated by whoever reads.
        if error.kind() == io::ErrorKind::Interrupted {
            return;
        }
        let copy = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        };
        let mut refusal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.get_or_insert(copy);
    }
}
