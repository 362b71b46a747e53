//! What both transports do with a request once its bytes are there: count its items, offer it to the pipeline, account
//! for the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::{IntCounterVec, Opts};
use spandrel_pipeline::{
    Batch, BuildContext, BuildError, Consumer, OtlpRequest, Outputs, Payload, RequestContext, Signal, otlp,
};

use super::compression;
use super::in_flight::{InFlight, Slot};
use super::partial_success::PartialSuccess;
use super::rejection::Rejection;
use super::{EMITS, GRPC, HTTP};
use crate::receivers::log_limit::LogLimit;
use crate::receivers::metrics::{ReceiverMetrics, counter_vec};

/// One line about rejections per this period; the counters tell of all of them.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// Budgets and counters of a receiver, made when it is built.
pub(super) struct Accounts {
    items: ReceiverMetrics,
    requests: IntCounterVec,
    rejected: IntCounterVec,
    rejected_items: IntCounterVec,
    in_flight: InFlight,
}

impl Accounts {
    pub(super) fn register(max_requests: usize, max_bytes: usize, context: &BuildContext) -> Result<Self, BuildError> {
        let counter = |name: &str, help: &str, labels: &[&str]| counter_vec(context, Opts::new(name, help), labels);
        Ok(Self {
            items: ReceiverMetrics::register(context, EMITS, &[GRPC, HTTP])?,
            requests: counter(
                "otelcol_receiver_requests",
                "Requests by outcome: success, refused (the sender should retry) or failure (it should not).",
                &["transport", "outcome"],
            )?,
            rejected: counter(
                "spandrel_receiver_rejected_requests",
                "Requests that were not accepted, by reason.",
                &["transport", "reason"],
            )?,
            rejected_items: counter(
                "spandrel_receiver_rejected_items",
                "Items of accepted requests that were not taken, because their rows would be wrong. They count as refused, too.",
                &["transport", "signal"],
            )?,
            in_flight: InFlight::register(max_requests, max_bytes, context)?,
        })
    }
}

/// The way into the pipelines.
pub(super) struct Intake {
    receiver: Arc<str>,
    outputs: Outputs,
    accounts: Accounts,
    rejection_log: LogLimit,
    partial_log: LogLimit,
}

/// How a request was answered: accepted, as a whole or in part, or not.
pub(super) type Answer = Result<Option<PartialSuccess>, Rejection>;

impl Intake {
    pub(super) fn new(receiver: Arc<str>, outputs: Outputs, accounts: Accounts) -> Self {
        Self {
            receiver,
            outputs,
            accounts,
            rejection_log: LogLimit::new(LOG_PERIOD),
            partial_log: LogLimit::new(LOG_PERIOD),
        }
    }

    /// Admits one more request, if a pipeline takes `signal` at all.
    pub(super) fn admit(&self, signal: Signal) -> Result<Slot, Rejection> {
        self.output(signal)?;
        self.accounts.in_flight.admit()
    }

    /// Offers an OTLP request in protobuf. One without items is a success that no pipeline hears of.
    pub(super) async fn offer_otlp(&self, transport: &'static str, signal: Signal, bytes: Bytes) -> Answer {
        let items = otlp::count_items(signal, &bytes).map_err(|error| {
            let header = if transport == GRPC {
                "grpc-encoding"
            } else {
                "Content-Encoding"
            };
            let hint = compression::hint(&bytes, header);
            Rejection::Malformed(format!("cannot decode the {signal} request: {error}{hint}"))
        })?;
        if items == 0 {
            return Ok(None);
        }
        let request = match signal {
            Signal::Metrics => OtlpRequest::metrics(bytes),
            Signal::Logs => OtlpRequest::logs(bytes),
            _ => OtlpRequest::traces(bytes),
        };
        self.offer(transport, Payload::Otlp(Arc::new(request)), items).await
    }

    /// Offers a payload of `items` items and returns when a pipeline has taken responsibility for it, or for a part of it.
    /// One of which nothing was taken is malformed.
    pub(super) async fn offer(&self, transport: &'static str, payload: Payload, items: usize) -> Answer {
        let context = Arc::new(RequestContext {
            receiver: Arc::clone(&self.receiver),
            transport,
        });
        let batch = Batch {
            payload: payload.clone(),
            context,
        };
        let signal = batch.signal();
        let account = self.accounts.items.offer(signal, transport, items);
        self.output(signal)?.consume(batch).await?;
        let partial = PartialSuccess::of(&payload);
        let rejected_items = partial.as_ref().map_or(0, |partial| partial.rejected_items);
        if let Some(partial) = partial.as_ref().filter(|_| rejected_items == items) {
            return Err(Rejection::Malformed(partial.message.clone()));
        }
        account.accepted_but(rejected_items);
        Ok(partial)
    }

    /// Accounts for the answer to a request.
    pub(super) fn answered(&self, transport: &'static str, answer: &Answer) {
        let outcome = match answer {
            Ok(_) => "success",
            Err(rejection) if rejection.is_temporary() => "refused",
            Err(_) => "failure",
        };
        self.accounts.requests.with_label_values(&[transport, outcome]).inc();
        let rejection = match answer {
            Ok(partial) => {
                let rejecting = partial.as_ref().filter(|partial| partial.rejected_items > 0);
                return rejecting.map_or((), |partial| self.accepted_in_part(transport, partial));
            }
            Err(rejection) => rejection,
        };
        self.accounts
            .rejected
            .with_label_values(&[transport, rejection.reason()])
            .inc();
        if let Some(suppressed) = self.rejection_log.admit(Instant::now()) {
            tracing::warn!(receiver = %self.receiver, transport, suppressed, "request not accepted: {rejection}");
        }
    }

    fn accepted_in_part(&self, transport: &'static str, partial: &PartialSuccess) {
        let counter = &self.accounts.rejected_items;
        counter
            .with_label_values(&[transport, partial.signal.as_str()])
            .inc_by(partial.rejected_items as u64);
        if let Some(suppressed) = self.partial_log.admit(Instant::now()) {
            let (receiver, signal, message) = (&self.receiver, partial.signal, &partial.message);
            tracing::warn!(%receiver, transport, %signal, suppressed, "request accepted in part: {message}");
        }
    }

    fn output(&self, signal: Signal) -> Result<&Arc<dyn Consumer>, Rejection> {
        self.outputs.get(signal).ok_or_else(|| Rejection::NoPipeline {
            signal,
            receiver: self.receiver.to_string(),
        })
    }
}
