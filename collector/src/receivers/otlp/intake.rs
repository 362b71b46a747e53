//! What both transports do with a request once its bytes are there: count its items, offer it to the pipeline, account
//! for the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prometheus::{IntCounterVec, Opts};
use spandrel_pipeline::{
    Batch, BuildContext, BuildError, Consumer, OtlpRequest, Outputs, Payload, RequestContext, Signal, otlp,
};

use super::in_flight::{InFlight, Slot};
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
}

impl Intake {
    pub(super) fn new(receiver: Arc<str>, outputs: Outputs, accounts: Accounts) -> Self {
        Self {
            receiver,
            outputs,
            accounts,
            rejection_log: LogLimit::new(LOG_PERIOD),
        }
    }

    /// Admits one more request, if a pipeline takes `signal` at all.
    pub(super) fn admit(&self, signal: Signal) -> Result<Slot, Rejection> {
        self.output(signal)?;
        self.accounts.in_flight.admit()
    }

    /// Offers an OTLP request in protobuf. One without items is a success that no pipeline hears of.
    pub(super) async fn offer_otlp(
        &self,
        transport: &'static str,
        signal: Signal,
        bytes: Bytes,
    ) -> Result<(), Rejection> {
        let items = otlp::count_items(signal, &bytes)
            .map_err(|error| Rejection::Malformed(format!("cannot decode the {signal} request: {error}")))?;
        if items == 0 {
            return Ok(());
        }
        let request = match signal {
            Signal::Metrics => OtlpRequest::metrics(bytes),
            Signal::Logs => OtlpRequest::logs(bytes),
            _ => OtlpRequest::traces(bytes),
        };
        self.offer(transport, Payload::Otlp(Arc::new(request)), items).await
    }

    /// Offers a payload of `items` items and returns when a pipeline has taken responsibility for it.
    pub(super) async fn offer(&self, transport: &'static str, payload: Payload, items: usize) -> Result<(), Rejection> {
        let context = Arc::new(RequestContext {
            receiver: Arc::clone(&self.receiver),
            transport,
        });
        let batch = Batch { payload, context };
        let signal = batch.signal();
        let account = self.accounts.items.offer(signal, transport, items);
        self.output(signal)?.consume(batch).await?;
        account.accepted();
        Ok(())
    }

    /// Accounts for the answer to a request.
    pub(super) fn answered(&self, transport: &'static str, answer: &Result<(), Rejection>) {
        let outcome = match answer {
            Ok(()) => "success",
            Err(rejection) if rejection.is_temporary() => "refused",
            Err(_) => "failure",
        };
        self.accounts.requests.with_label_values(&[transport, outcome]).inc();
        let Err(rejection) = answer else { return };
        self.accounts
            .rejected
            .with_label_values(&[transport, rejection.reason()])
            .inc();
        if let Some(suppressed) = self.rejection_log.admit(Instant::now()) {
            tracing::warn!(receiver = %self.receiver, transport, suppressed, "request not accepted: {rejection}");
        }
    }

    fn output(&self, signal: Signal) -> Result<&Arc<dyn Consumer>, Rejection> {
        self.outputs.get(signal).ok_or_else(|| Rejection::NoPipeline {
            signal,
            receiver: self.receiver.to_string(),
        })
    }
}
