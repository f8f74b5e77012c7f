//! What the upstream learns by headers, and what it must not learn from the client: against THREATS 18 and 25.

use crate::decide::Permit;
use crate::facts::{self, Found, Pair, Place, RequestFacts, header_value};
use crate::identity::{Ground, Identity};
use crate::operation::Operation;
use crate::policy::{HeadHold, Policy};
use crate::stream::event::Effect;
use crate::stream::story::Story;
use crate::token::dpop::Nonces;
use crate::token::{self, Issuer, Verified};

/// Removes what the client sent under our names, and under those that the policy has us tell.
pub(super) fn strip_headers(pairs: &[Pair<'_>], told: &[String]) -> Vec<Effect> {
    let stripped = pairs
        .iter()
        .filter(|(name, _)| facts::is_stripped(name, told));
    stripped
        .map(|(name, _)| Effect::RemoveRequestHeader(name.to_vec()))
        .collect()
}

/// The same for trailers, which some upstreams merge into the head; there a credential is nothing that we have read.
pub(super) fn strip_trailers(pairs: &[Pair<'_>], told: &[String], places: &[Place]) -> Vec<Effect> {
    let stripped = pairs
        .iter()
        .filter(|(name, _)| facts::is_stripped(name, told) || facts::is_credential(name, places));
    stripped
        .map(|(name, _)| Effect::RemoveRequestTrailer(name.to_vec()))
        .collect()
}

/// The credential as the head carries it, and how it is taken out.
#[derive(Debug, Default)]
pub(super) struct Carried(Vec<Effect>);

impl Carried {
    pub(super) fn of(pairs: &[Pair<'_>], facts: &RequestFacts<'_>, found: Option<&Found>) -> Self {
        let mut effects = Vec::new();
        match found {
            Some(Found::Header(name)) => {
                effects.push(Effect::RemoveRequestHeader(name.clone().into_bytes()));
            }
            Some(Found::Query(name)) => {
                let target = facts::without_parameter(facts.target(), name);
                effects.push(Effect::SetRequestHeader(":path".into(), target));
            }
            Some(Found::Cookie(name)) => {
                effects.push(Effect::RemoveRequestHeader(b"cookie".to_vec()));
                let rest = facts::without_cookie(pairs, name);
                effects.extend(rest.map(|rest| Effect::SetRequestHeader("cookie".into(), rest)));
            }
            None => {}
        }
        if !facts.proofs().is_empty() {
            effects.push(Effect::RemoveRequestHeader(b"dpop".to_vec()));
        }
        Self(effects)
    }

    /// What takes it out of the head of this caller's request: nothing, where the policy lets the token go on, and where a
    /// peer alone is proved, so that a credential is one for the upstream.
    pub(super) fn of_caller(self, identity: &Identity, issuer: Option<&Issuer>) -> Self {
        let is_ours = identity.api_key().is_some() || issuer.is_some_and(|i| !i.keeps_token());
        if is_ours { self } else { Self::default() }
    }
}

/// A header of ours and its value.
type Line = (&'static str, String);

impl Story {
    /// What the upstream learns of every request.
    pub(super) fn tell_id(&self) -> Vec<Effect> {
        vec![set(("x-postern-audit-id", self.id.as_str().to_owned()))]
    }

    /// What it learns of a proved caller, whose credential is taken out.
    pub(super) fn tell_caller(&mut self, identity: &Identity, operation: Operation) -> Vec<Effect> {
        let peer = identity.peer().map(|peer| peer.id().as_str());
        let told = [
            ("x-postern-subject", identity.subject()),
            ("x-postern-tenant", identity.tenant()),
            ("x-postern-peer", peer),
            ("x-postern-operation", Some(operation.name())),
        ];
        let mut effects = self.tell_id();
        effects.append(&mut self.carried.0);
        effects.extend(present(told).map(set));
        let claims = identity.token().into_iter().flat_map(Verified::told);
        effects.extend(claims.map(|(name, value)| {
            Effect::SetRequestHeader(name.to_owned().into(), value.to_owned())
        }));
        effects
    }

    /// What the caller learns with every answer: the record's id, and the nonce for its next proof (RFC 9449 section 8.2).
    pub(super) fn tell_answer(&self, now: u64, ground: &Ground<'_>) -> Vec<Effect> {
        let id = Effect::SetResponseHeader("x-postern-audit-id", self.id.as_str().to_owned());
        let secret = ground
            .memory
            .shared_secret
            .as_ref()
            .filter(|_| self.nonce_due);
        let nonce = secret.map(|secret| {
            let nonce = Nonces::new(secret.clone()).current(token::seconds(now));
            Effect::SetResponseHeader("dpop-nonce", nonce)
        });
        [id].into_iter().chain(nonce).collect()
    }

    /// What it learns of a decision that was made before the head left.
    pub(super) fn tell_permit(&self, permit: &Permit) -> Vec<Effect> {
        self.of_permit(permit).map(set).collect()
    }

    /// What it learns of a decision that was made in the body.
    pub(super) fn tell_late(
        &mut self,
        permit: &Permit,
        identity: &Identity,
        operation: Operation,
        policy: &Policy,
    ) -> Vec<Effect> {
        match policy.head_hold {
            // The head is still here, and nothing was told yet.
            HeadHold::Flag => {
                let mut effects = self.tell_caller(identity, operation);
                effects.extend(self.tell_permit(permit));
                effects
            }
            // The head waits behind us, where only the gateway can still add to it.
            HeadHold::Buffer => self.of_permit(permit).map(publish).collect(),
            HeadHold::None => Vec::new(),
        }
    }

    fn of_permit<'a>(&'a self, permit: &'a Permit) -> impl Iterator<Item = Line> + use<'a> {
        present([
            ("x-postern-model", self.model.as_deref()),
            ("x-postern-rule", permit.rule().map(|rule| &**rule)),
            ("x-postern-request-digest", self.request.digest.as_deref()),
        ])
    }
}

fn present<'a, const N: usize>(
    told: [(&'static str, Option<&'a str>); N],
) -> impl Iterator<Item = Line> + use<'a, N> {
    told.into_iter()
        .filter_map(|(name, value)| Some((name, header_value(value?))))
}

fn set((name, value): Line) -> Effect {
    Effect::SetRequestHeader(name.into(), value)
}

/// The same as filter state: `x-postern-model` becomes `model`.
fn publish((name, value): Line) -> Effect {
    Effect::Publish(name.strip_prefix("x-postern-").unwrap_or(name), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn credential_and_proof_are_taken_out_where_they_came() {
        let token: Pair<'_> = (b"authorization", b"Bearer x");
        for (why, more, expected) in [
            (
                "no proof: nothing to ask the gateway for",
                None,
                &["authorization"][..],
            ),
            ("a proof", Some(&b"dpop"[..]), &["authorization", "dpop"]),
            (
                "in another spelling",
                Some(b"DPoP"),
                &["authorization", "dpop"],
            ),
        ] {
            let head: [Pair<'_>; 3] = [
                (b":method", b"GET"),
                (b":path", b"/v1/models"),
                (b":authority", b"h"),
            ];
            let mut pairs = head.to_vec();
            pairs.push(token);
            pairs.extend(more.map(|name| (name, &b"a.b.c"[..])));
            let facts = RequestFacts::read(&pairs, &[]).unwrap();
            let found = Found::Header("authorization".to_owned());
            let removed: Vec<String> = Carried::of(&pairs, &facts, Some(&found))
                .0
                .into_iter()
                .map(|effect| match effect {
                    Effect::RemoveRequestHeader(name) => String::from_utf8(name).unwrap(),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(removed, expected, "{why}");
        }
    }

    #[test]
    fn what_the_client_sent_under_our_names_goes() {
        let pairs: &[Pair<'_>] = &[
            (b"x-postern-subject", b"root"),
            (b"x_postern_rule", b"all"),
            (b"x-other", b""),
        ];
        assert_eq!(strip_headers(pairs, &[]).len(), 2);
        let pairs: &[Pair<'_>] = &[
            (b"authorization", b"x"),
            (b"X-Api-Key", b"x"),
            (b"x-postern-rule", b"x"),
            (b"x-sum", b"1"),
        ];
        assert_eq!(strip_trailers(pairs, &[], &[]).len(), 3, "credentials too");
    }
}
