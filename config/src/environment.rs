//! What configuration may read from outside: environment variables and files.

use std::io::{self, Read};
use std::path::Path;

/// Largest file that is read, in bytes. A large configuration has a few tens of kilobytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The outside world of configuration. Tests give their own.
pub trait Environment {
    /// The value of an environment variable; `None` if it is not set.
    fn variable(&self, name: &str) -> Option<String>;

    /// The content of a text file of at most [`MAX_FILE_BYTES`]. Relative paths start at the working directory.
    ///
    /// # Errors
    /// When the file cannot be read, is larger than the limit, or is not UTF-8.
    fn read_file(&self, path: &Path) -> io::Result<String>;
}

/// The variables of this process and the files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    /// Bytes of the value that are not UTF-8 are replaced.
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        // One byte more than allowed, so that a device or a growing file cannot pass for a short one.
        std::fs::File::open(path)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("larger than {MAX_FILE_BYTES} bytes"),
            ));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_and_says_which_are_missing() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        assert!(
            ProcessEnvironment
                .read_file(&manifest)
                .unwrap()
                .contains("spandrel-config")
        );
        let error = ProcessEnvironment.read_file(&manifest.join("nowhere")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }

    #[cfg(unix)]
    #[test]
    fn stops_reading_at_the_limit() {
        let error = ProcessEnvironment.read_file(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "larger than 1048576 bytes");
    }
}
