//! Input files of the command line: whole, decompressed, bounded.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};

/// Largest input after decompression. A trace of 5 s of a very busy service has some 300 MB.
pub const INPUT_BYTES_MAX: u64 = 4 << 30;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

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
        }
    }

    #[test]
    fn errors_name_the_file() {
        let error = read(Path::new("no/such/file")).unwrap_err();
        assert!(error.to_string().contains("no/such/file"));
    }
}
