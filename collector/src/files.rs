//! Input files of the command line: decompressed, whole and bounded, or read as a stream.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use anyhow::{Context, bail};

/// Largest input after decompression. A trace of 5 s of a very busy service has some 300 MB.
pub const INPUT_BYTES_MAX: u64 = 4 << 30;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Compressed bytes held while a stream is decompressed.
const COMPRESSED_BYTES: usize = 256 << 10;

/// The contents of `path`; gzip and zstd, recognized by their first bytes, are decompressed.
///
/// # Errors
/// The file cannot be read, is damaged, or exceeds [`INPUT_BYTES_MAX`].
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let stored = read_at_most(File::open(path).with_context(|| format!("failed to open `{}`", path.display()))?)
        .with_context(|| format!("failed to read `{}`", path.display()))?;
    let reader: Box<dyn Read> = if stored.starts_with(&ZSTD_MAGIC) {
        Box::new(zstd::stream::read::Decoder::with_buffer(stored.as_slice()).context("failed to start decompression")?)
    } else if stored.starts_with(&GZIP_MAGIC) {
        Box::new(flate2::bufread::MultiGzDecoder::new(stored.as_slice()))
    } else {
        return Ok(stored);
    };
    read_at_most(reader).with_context(|| format!("failed to decompress `{}`", path.display()))
}

fn read_at_most(reader: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if read as u64 > INPUT_BYTES_MAX {
        bail!("more than {INPUT_BYTES_MAX} bytes");
    }
    Ok(bytes)
}

/// An input as it is stored, to be read from its beginning.
pub struct Stored {
    /// Gives the bytes, still compressed.
    pub reader: Box<dyn Read + Send>,
    /// How many; `None` for what is no regular file.
    pub bytes: Option<u64>,
}

/// Opens an input that is read as a stream; `-` is standard input.
///
/// # Errors
/// The file cannot be opened.
pub fn open(path: &Path) -> anyhow::Result<Stored> {
    if path.as_os_str() == "-" {
        return Ok(Stored {
            reader: Box::new(io::stdin()),
            bytes: None,
        });
    }
    let failed = || format!("failed to open `{}`", path.display());
    let file = File::open(path).with_context(failed)?;
    let metadata = file.metadata().with_context(failed)?;
    if metadata.is_dir() {
        bail!("`{}` is a directory, expected a file", path.display());
    }
    Ok(Stored {
        bytes: metadata.is_file().then_some(metadata.len()),
        reader: Box::new(file),
    })
}

/// What stored bytes hold; gzip and zstd, recognized by their first bytes, are decompressed, and give an error instead of
/// more than [`INPUT_BYTES_MAX`].
///
/// # Errors
/// The first bytes cannot be read.
pub fn decompressed(mut stored: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    stored.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut magic)?;
    let (is_zstd, is_gzip) = (magic.starts_with(&ZSTD_MAGIC), magic.starts_with(&GZIP_MAGIC));
    let stored = Cursor::new(magic).chain(stored);
    if !is_zstd && !is_gzip {
        return Ok(Box::new(stored));
    }
    let stored = BufReader::with_capacity(COMPRESSED_BYTES, stored);
    let content: Box<dyn Read + Send> = match is_zstd {
        true => Box::new(zstd::stream::read::Decoder::with_buffer(stored)?),
        false => Box::new(flate2::bufread::MultiGzDecoder::new(stored)),
    };
    Ok(Box::new(Limited {
        content,
        left_bytes: INPUT_BYTES_MAX,
    }))
}

/// The first bytes, as many as `bytes` if there are so many, by which formats are told apart, and all of them.
///
/// # Errors
/// The first bytes cannot be read.
pub fn begun(mut content: impl Read + Send, bytes: usize) -> io::Result<(Vec<u8>, impl Read + Send)> {
    let mut begin = Vec::new();
    content.by_ref().take(bytes as u64).read_to_end(&mut begin)?;
    Ok((begin.clone(), Cursor::new(begin).chain(content)))
}

/// Gives an error where content goes on behind a limit: a few compressed bytes may stand for any number.
struct Limited<R> {
    content: R,
    left_bytes: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.content.read(buf)?;
        match self.left_bytes.checked_sub(read as u64) {
            Some(left_bytes) => self.left_bytes = left_bytes,
            None => {
                return Err(io::Error::other(
                    "the compressed file holds more than the largest input",
                ));
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn compression_is_recognized_by_content() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"content").unwrap();
        let forms = [
            b"content".to_vec(),
            gzip.finish().unwrap(),
            zstd::encode_all(&b"content"[..], 1).unwrap(),
        ];
        for stored in forms {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(&stored).unwrap();
            assert_eq!(read(file.path()).unwrap(), b"content");

            let opened = open(file.path()).unwrap();
            assert_eq!(opened.bytes, Some(stored.len() as u64));
            let mut content = Vec::new();
            decompressed(opened.reader).unwrap().read_to_end(&mut content).unwrap();
            assert_eq!(content, b"content");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let error = read(Path::new("no/such/file")).unwrap_err();
        assert!(error.to_string().contains("no/such/file"));
        let error = open(Path::new("no/such/file")).err().unwrap();
        assert!(error.to_string().contains("no/such/file"));
    }

    #[test]
    fn a_stream_fails_where_it_exceeds_its_limit() {
        let limited = |left_bytes| Limited {
            content: &b"content"[..],
            left_bytes,
        };
        let mut content = Vec::new();
        assert_eq!(limited(7).read_to_end(&mut content).unwrap(), 7);
        assert!(limited(6).read_to_end(&mut content).is_err());
    }

    #[test]
    fn a_short_file_is_no_compressed_one() {
        let mut content = Vec::new();
        decompressed(&b"\x1f"[..]).unwrap().read_to_end(&mut content).unwrap();
        assert_eq!(content, b"\x1f");
    }
}
