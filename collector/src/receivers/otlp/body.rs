//! Reads a request body within its limit and the receiver's byte budget.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;

use super::in_flight::Slot;
use super::rejection::Rejection;

/// A sender that sends nothing for this long gives its share of the budgets back.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the rest of a rejected body is read and thrown away, so that a sender on HTTP/1 gets to read the answer
/// instead of a connection reset.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// The body of one request, as far as it was read.
pub(super) struct BodyReader {
    body: Body,
    buffer: BytesMut,
    // Invariant: buffer.len() <= reserved_bytes <= limit_bytes.
    reserved_bytes: usize,
    limit_bytes: usize,
    setting: &'static str,
}

impl BodyReader {
    /// `setting` is where `limit_bytes` comes from, for the message.
    pub(super) fn new(body: Body, limit_bytes: usize, setting: &'static str) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            reserved_bytes: 0,
            limit_bytes,
            setting,
        }
    }

    /// Reads to the end.
    pub(super) async fn read_all(&mut self, slot: &mut Slot) -> Result<Bytes, Rejection> {
        if let Some(announced) = self.body.size_hint().exact() {
            self.reserve(usize::try_from(announced).unwrap_or(usize::MAX), slot)?;
        }
        self.read_until(usize::MAX, slot).await?;
        Ok(self.buffer.split().freeze())
    }

    /// Reads until `wanted_bytes` are in the buffer or the body ends. The buffer may then hold more.
    pub(super) async fn read_until(
        &mut self,
        wanted_bytes: usize,
        slot: &mut Slot,
    ) -> Result<&mut BytesMut, Rejection> {
        while self.buffer.len() < wanted_bytes {
            let Some(data) = self.next_data().await? else { break };
            self.reserve(self.buffer.len() + data.len(), slot)?;
            self.buffer.extend_from_slice(&data);
        }
        Ok(&mut self.buffer)
    }

    /// Reserves budget and memory for a body of `total_bytes`.
    pub(super) fn reserve(&mut self, total_bytes: usize, slot: &mut Slot) -> Result<(), Rejection> {
        if total_bytes > self.limit_bytes {
            return Err(Rejection::TooLarge {
                limit_bytes: self.limit_bytes,
                setting: self.setting,
            });
        }
        if total_bytes > self.reserved_bytes {
            slot.reserve(total_bytes - self.reserved_bytes)?;
            self.reserved_bytes = total_bytes;
        }
        self.buffer.reserve(total_bytes.saturating_sub(self.buffer.len()));
        Ok(())
    }

    /// Reads and throws away what is left, for a while, without holding it.
    pub(super) async fn discard(mut self) {
        let drain = async { while let Ok(Some(_)) = self.next_data().await {} };
        // Whether the end was reached makes no difference to the answer.
        let _ = tokio::time::timeout(DISCARD_TIMEOUT, drain).await;
    }

    async fn next_data(&mut self) -> Result<Option<Bytes>, Rejection> {
        loop {
            let frame = tokio::time::timeout(STALL_TIMEOUT, self.body.frame())
                .await
                .map_err(|_| Rejection::Stalled {
                    seconds: STALL_TIMEOUT.as_secs(),
                })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Rejection::BrokenOff(error.to_string())),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }
}
