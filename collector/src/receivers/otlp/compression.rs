//! Decompression that is bounded while it happens: no output byte exists that the request has not reserved.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, HeaderName};

use super::in_flight::Slot;
use super::rejection::Rejection;

/// The names of all supported compressions, for headers and messages.
pub(super) const SUPPORTED: &str = "gzip, deflate, zstd, identity";

/// Output is produced in pieces of this size, between which other requests get their turn.
const CHUNK_BYTES: usize = 64 * 1024;

/// RFC 9659 limits the window of the `zstd` content coding to 8 MiB, hence the memory of a decoder.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Identity,
    Gzip,
    /// The zlib format of RFC 1950, which HTTP calls `deflate`.
    Deflate,
    Zstd,
}

/// First bytes of what is often sent without a header that says how it is compressed.
const MAGIC: [(&[u8], &str); 2] = [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\x1f\x8b", "gzip")];

/// What to add to a complaint about a body that is compressed and was taken for one that is not, or that was compressed
/// twice; `header` is where its compression is named. Empty for others.
pub(super) fn hint(body: &[u8], header: &str) -> String {
    let found = MAGIC.iter().find(|(magic, _)| body.starts_with(magic));
    found.map_or_else(String::new, |(_, name)| {
        format!(
            "; it looks compressed with {name}: name that in `{header}`, or compress it only once (supported are {SUPPORTED})"
        )
    })
}

impl Compression {
    /// The compression that `header` names; [`Compression::Identity`] if there is none.
    pub(super) fn of(headers: &HeaderMap, header: &HeaderName) -> Result<Self, Rejection> {
        let Some(value) = headers.get(header) else {
            return Ok(Self::Identity);
        };
        let name = String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" | "zlib" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Rejection::Compression { found: name }),
        }
    }

    /// Decompresses `wire` to at most `limit_bytes`.
    pub(super) async fn decompress(
        self,
        wire: Bytes,
        limit_bytes: usize,
        setting: &'static str,
        slot: &mut Slot,
    ) -> Result<Bytes, Rejection> {
        if self == Self::Identity {
            return Ok(wire);
        }
        let malformed =
            |error: io::Error| Rejection::Malformed(format!("cannot decompress the body as {self}: {error}"));
        let mut decoder = self.decoder(wire).map_err(malformed)?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut plain = Vec::new();
        loop {
            let count = decoder.read(&mut chunk).map_err(malformed)?;
            if count == 0 {
                return Ok(Bytes::from(plain));
            }
            if plain.len() + count > limit_bytes {
                return Err(Rejection::TooLarge { limit_bytes, setting });
            }
            slot.reserve(count)?;
            plain.extend_from_slice(&chunk[..count]);
            tokio::task::yield_now().await;
        }
    }

    fn decoder(self, wire: Bytes) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::Identity => Box::new(wire.reader()),
            Self::Gzip => Box::new(MultiGzDecoder::new(wire.reader())),
            Self::Deflate => Box::new(ZlibDecoder::new(wire.reader())),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(wire.reader())?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        })
    }
}
