//! What the upstream learns by headers, and what it must not learn from the client: against THREATS 18 and 25.

use crate::audit;
use crate::decide::Permit;
use crate::facts::{self, Pair};
use crate::identity::Identity;
use crate::operation::Operation;
use crate::policy::HeadHold;
use crate::stream::event::Effect;
use crate::stream::story::Story;

/// Removes what the client sent under our names.
pub(super) fn strip_headers(pairs: &[Pair<'_>]) -> Vec<Effect> {
    let stripped = pairs.iter().filter(|(name, _)| facts::is_stripped(name));
    stripped
        .map(|(name, _)| Effect::RemoveRequestHeader(name.to_vec()))
        .collect()
}

/// The same for trailers, which some upstreams merge into the head; there a credential is nothing that we have read.
pub(super) fn strip_trailers(pairs: &[Pair<'_>]) -> Vec<Effect> {
    let stripped = pairs
        .iter()
        .filter(|(name, _)| facts::is_stripped(name) || facts::is_credential(name));
    stripped
        .map(|(name, _)| Effect::RemoveRequestTrailer(name.to_vec()))
        .collect()
}

/// A header of ours and its value.
type Told = (&'static str, String);

impl Story {
    /// What the upstream learns of every request.
    pub(super) fn tell_id(&self) -> Vec<Effect> {
        vec![set(("x-postern-audit-id", self.id.as_str().to_owned()))]
    }

    /// What it learns of a proved caller, whose token stays here.
    pub(super) fn tell_caller(&self, identity: &Identity, operation: Operation) -> Vec<Effect> {
        let peer = self.peer.as_ref().map(|peer| peer.uri.as_str());
        let told = [
            ("x-postern-subject", Some(identity.subject())),
            ("x-postern-tenant", identity.tenant()),
            ("x-postern-peer", peer),
            ("x-postern-operation", Some(operation.name())),
        ];
        let mut effects = self.tell_id();
        effects.push(Effect::RemoveRequestHeader(b"authorization".to_vec()));
        effects.extend(present(told).map(set));
        effects
    }

    /// What it learns of a decision that was made before the head left.
    pub(super) fn tell_permit(&self, permit: &Permit) -> Vec<Effect> {
        self.of_permit(permit).map(set).collect()
    }

    /// What it learns of a decision that was made in the body.
    pub(super) fn tell_late(
        &self,
        permit: &Permit,
        identity: &Identity,
        operation: Operation,
        head_hold: HeadHold,
    ) -> Vec<Effect> {
        match head_hold {
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

    fn of_permit<'a>(&'a self, permit: &'a Permit) -> impl Iterator<Item = Told> + use<'a> {
        present([
            ("x-postern-model", self.model.as_deref()),
            ("x-postern-rule", permit.rule().map(|rule| &**rule)),
            ("x-postern-request-digest", self.request.digest.as_deref()),
        ])
    }
}

fn present<'a, const N: usize>(
    told: [(&'static str, Option<&'a str>); N],
) -> impl Iterator<Item = Told> + use<'a, N> {
    told.into_iter()
        .filter_map(|(name, value)| Some((name, header_value(value?))))
}

fn set((name, value): Told) -> Effect {
    Effect::SetRequestHeader(name, value)
}

/// The same as filter state: `x-postern-model` becomes `model`.
fn publish((name, value): Told) -> Effect {
    Effect::Publish(name.strip_prefix("x-postern-").unwrap_or(name), value)
}

/// A header value of visible ASCII: everything else, and `%`, is percent-encoded (RFC 3986 section 2.1), so that no
/// subject can end a header or be taken for another.
fn header_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && byte != b'%' {
            value.push(char::from(byte));
        } else {
            value.push('%');
            value.push_str(&audit::hex(&[byte]).to_ascii_uppercase());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn no_value_ends_a_header_or_looks_like_another() {
        for (text, expected, why) in [
            ("alice@example.com", "alice@example.com", "plain"),
            (
                "a\r\nx-postern-rule: all",
                "a%0D%0Ax-postern-rule:%20all",
                "a line break",
            ),
            ("é", "%C3%A9", "not ASCII"),
            (
                "%C3%A9",
                "%25C3%25A9",
                "what looks encoded is not the same as what is",
            ),
        ] {
            assert_eq!(header_value(text), expected, "{why}");
        }
    }

    #[test]
    fn what_the_client_sent_under_our_names_goes() {
        let pairs: &[Pair<'_>] = &[
            (b"x-postern-subject", b"root"),
            (b"x_postern_rule", b"all"),
            (b"x-other", b""),
        ];
        assert_eq!(strip_headers(pairs).len(), 2);
        let pairs: &[Pair<'_>] = &[
            (b"authorization", b"x"),
            (b"X-Api-Key", b"x"),
            (b"x-postern-rule", b"x"),
            (b"x-sum", b"1"),
        ];
        assert_eq!(strip_trailers(pairs).len(), 3, "credentials too");
    }
}
