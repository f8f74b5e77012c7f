//! What the record will say, noted as the stream goes on, and told once at its end.
//!
//! Not decided here: what happens. Every note is of something that was decided elsewhere.

use crate::audit::{
    self, AuditId, CallerPart, CredentialPart, Outcome, PeerPart, Record, RequestPart, ResponsePart,
};
use crate::body::{Digested, Faulted};
use crate::decide::{Denial, Permit};
use crate::facts::{self, Pair, RequestFacts};
use crate::identity::Identity;
use crate::operation::Operation;
use crate::peer::Peer;
use crate::policy::Policy;
use crate::refusal::{Code, Refusal};
use crate::stream::event::Ended;
use crate::stream::headers::Carried;
use crate::token::Binding;
use crate::token::dpop::NoncePolicy;
use std::sync::Arc;

/// The gateway's response code details when a request was over its own buffer limit.
const DROPPED: &str = "request_payload_too_large";

/// What the record will say, as far as it is known.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) id: AuditId,
    pub(super) started: u64,
    pub(super) request_id: Option<String>,
    pub(super) traceparent: Option<String>,
    pub(super) route: Option<String>,
    pub(super) operation: Option<Operation>,
    pub(super) model: Option<String>,
    /// Whether the request's head never came.
    pub(super) headless: bool,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) caller: Option<CallerPart>,
    pub(super) peer: Option<PeerPart>,
    pub(super) outcome: Outcome,
    pub(super) rule: Option<Arc<str>>,
    pub(super) refusal: Option<Code>,
    pub(super) request: RequestPart,
    pub(super) response_bytes: u64,
    /// How the credential is taken out of the head, until that is done.
    pub(super) carried: Carried,
    /// Whether the answer shall carry the nonce for the caller's next proof.
    pub(super) nonce_due: bool,
}

impl Story {
    /// Nothing but that a stream was announced.
    pub(super) fn new(id: AuditId, now: u64) -> Self {
        Self {
            id,
            started: now,
            request_id: None,
            traceparent: None,
            route: None,
            operation: None,
            model: None,
            headless: true,
            method: None,
            path: None,
            caller: None,
            peer: None,
            outcome: Outcome::None,
            rule: None,
            refusal: None,
            request: RequestPart::default(),
            response_bytes: 0,
            carried: Carried::default(),
            nonce_due: false,
        }
    }

    /// Notes for the record what the head says, good or bad.
    pub(super) fn note(&mut self, pairs: &[Pair<'_>]) {
        let value = |name: &[u8]| {
            pairs
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| *value)
        };
        self.method = value(b":method").and_then(facts::shown_method);
        self.request_id = value(b"x-request-id").and_then(facts::shown_request_id);
        self.traceparent = value(b"traceparent").and_then(facts::shown_traceparent);
        self.headless = false;
    }

    /// Notes the peer, as far as it is proved.
    pub(super) fn note_peer(&mut self, peer: Option<&Peer>) {
        self.peer = peer.map(|peer| PeerPart {
            uri: peer.id().as_str().to_owned(),
            forwarded_by: peer.forwarded_by().map(|proxy| proxy.as_str().to_owned()),
        });
    }

    /// Notes the path once a route and an operation took it. Until then it is the client's own text, in which a credential
    /// can stand.
    pub(super) fn recognised(&mut self, facts: &RequestFacts<'_>) {
        self.path = Some(facts.path().to_owned());
    }

    /// Notes who was proved to call, and how the credential is taken out of the head.
    pub(super) fn proved_caller(&mut self, identity: &Identity, carried: Carried, policy: &Policy) {
        self.caller = Some(CallerPart {
            name: None,
            credential: match (identity.issuer(), identity.api_key()) {
                (Some(_), _) => CredentialPart::Token,
                (None, Some(_)) => CredentialPart::ApiKey,
                (None, None) => CredentialPart::Peer,
            },
            issuer: identity.issuer().map(str::to_owned),
            api_key: identity.api_key().map(Arc::clone),
            subject: identity.subject().map(str::to_owned),
            tenant: identity.tenant().map(str::to_owned),
        });
        let issuer = identity
            .issuer()
            .and_then(|name| policy.issuers.named(name));
        self.carried = carried.of_caller(identity, issuer);
        self.nonce_due = issuer.is_some_and(|issuer| {
            issuer.dpop().nonce() == NoncePolicy::Required
                && identity
                    .token()
                    .is_some_and(|token| matches!(token.binding(), Binding::Key(_)))
        });
    }

    /// Notes a permit.
    pub(super) fn allow(&mut self, permit: &Permit) {
        self.outcome = Outcome::Allow;
        self.rule = permit.rule().map(Arc::clone);
        if let Some(caller) = &mut self.caller {
            caller.name = permit.caller().map(Arc::clone);
        }
    }

    /// Notes which rule denies, and gives what to tell the caller.
    pub(super) fn deny(&mut self, denial: Denial) -> Refusal {
        self.rule = denial.rule().map(Arc::clone);
        denial.into_refusal()
    }

    /// Notes how much of a bad body was seen.
    pub(super) fn fault(&mut self, faulted: &Faulted) -> Refusal {
        self.request.bytes = faulted.digested().bytes();
        Refusal::from(faulted)
    }

    /// Notes that the whole body was found good and passes.
    pub(super) fn whole(&mut self, digested: Digested) {
        self.request = RequestPart {
            bytes: digested.bytes(),
            complete: true,
            digest: Some(audit::digest_text(digested.sha256())),
        };
    }

    /// Notes a refusal: whatever was noted of the body before, it was not forwarded whole.
    pub(super) fn close(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::Refuse;
        self.refusal = Some(refusal.code());
        self.request.complete = false;
        self.request.digest = None;
    }

    /// Tells it all. What was noted is given away: there is one record.
    pub(super) fn record(&mut self, ended: Ended, now: u64, policy: &Policy) -> Record {
        // The gateway takes a chunk into its buffer before it shows it to us; when that is over its limit it answers 413
        // itself and drops what we let pass in that very callback.
        if ended.details.as_deref() == Some(DROPPED) {
            self.request.complete = false;
            self.request.digest = None;
        }
        let Ended {
            method,
            status,
            details,
            flags,
        } = ended;
        Record {
            v: audit::RECORD_VERSION,
            time: audit::timestamp(self.started),
            id: self.id.as_str().to_owned(),
            instance: policy.audit.instance.clone(),
            policy: audit::digest_text(&policy.digest),
            request_id: self.request_id.take(),
            traceparent: self.traceparent.take(),
            route: self.route.take(),
            operation: self.operation.map(Operation::name),
            model: self.model.take(),
            method: self
                .method
                .take()
                .or_else(|| facts::shown_method(method?.as_bytes())),
            path: self.path.take(),
            caller: self.caller.take(),
            peer: self.peer.take(),
            decision: self.outcome,
            rule: self.rule.take(),
            refusal: self.refusal,
            fault: self.refusal.map(Code::fault),
            request: std::mem::take(&mut self.request),
            response: ResponsePart {
                status,
                bytes: self.response_bytes,
                details,
                flags,
            },
            duration_ms: now.saturating_sub(self.started),
        }
    }
}
