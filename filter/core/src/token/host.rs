//! The gateway's own check of signatures: BoringSSL behind Envoy's foreign function `verify_signature`, some 40 times faster
//! than code inside of the module.
//!
//! Decided here: which algorithms a gateway may check, that it is asked only for those that it has answered rightly before (known
//! answers: yes, no for another message, no for another key), and the forms of question and answer. Success is exactly the bytes of
//! a true `VerifySignatureResult`; any other answer is a no; no answer is none.
//! Not decided here: whether a key is good; the gateway checks neither kind, curve nor size, and a
//! [`KeySet`](super::KeySet) holds only good ones.

mod answers;

use jsonwebtoken::{AlgorithmFamily, DecodingKey};

use super::algorithm::{Alg, Curve, Hash, Padding, Scheme};
use super::key::info;

/// What a gateway may check: RSASSA-PKCS1-v1_5 and ECDSA. Envoy has no PSS, no EdDSA and no HMAC.
const HOSTED: [Alg; 6] = [
    Alg::Rs256,
    Alg::Rs384,
    Alg::Rs512,
    Alg::Es256,
    Alg::Es384,
    Alg::Es512,
];

/// `VerifySignatureResult { result: true }`; on a mismatch it carries an error text instead.
const TRUE: &[u8] = &[0x08, 0x01];

/// Calls `verify_signature` with this argument. `None` when the host did not answer.
pub type Ask = fn(argument: &[u8]) -> Option<Vec<u8>>;

/// A gateway that has earned some algorithms.
#[derive(Clone, Copy, Debug)]
pub struct Gateway {
    ask: Ask,
    /// For each of [`HOSTED`].
    earned: [bool; HOSTED.len()],
}

/// The same algorithms earned. The function is the host's, of which there is one.
impl PartialEq for Gateway {
    fn eq(&self, other: &Gateway) -> bool {
        self.earned == other.earned
    }
}

impl Gateway {
    /// Tries a gateway with the known answers; `None` when it has earned nothing.
    #[must_use]
    pub fn tried(ask: Ask) -> Option<Gateway> {
        let earned = HOSTED.map(|alg| answers_rightly(ask, alg));
        earned.contains(&true).then_some(Gateway { ask, earned })
    }

    /// The algorithms that it may check.
    pub(super) fn earned(self) -> impl Iterator<Item = Alg> {
        let earned = HOSTED.into_iter().zip(self.earned);
        earned.filter_map(|(alg, earned)| earned.then_some(alg))
    }

    /// Whether it has earned all that a gateway can.
    #[must_use]
    pub fn checks_all(self) -> bool {
        !self.earned.contains(&false)
    }

    /// Asks for one check. `None` when it has not earned the algorithm, or does not answer.
    pub(super) fn verifies(
        self,
        alg: Alg,
        key: &DecodingKey,
        message: &[u8],
        signature: &[u8],
    ) -> Option<bool> {
        if !self.earned().any(|earned| earned == alg) {
            return None;
        }
        match question(alg, key, message, signature) {
            Some(argument) => Some((self.ask)(&argument)? == TRUE),
            None => Some(false),
        }
    }

    /// Whether the check takes a question to the gateway: none that cannot be good is.
    #[cfg(any(test, feature = "vectors"))]
    pub(super) fn is_asked(
        self,
        alg: Alg,
        key: &DecodingKey,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.earned().any(|earned| earned == alg)
            && question(alg, key, message, signature).is_some()
    }
}

fn answers_rightly(ask: Ask, alg: Alg) -> bool {
    let Some(known) = answers::of(alg) else {
        return false;
    };
    let other_message = format!("{}.", known.signed);
    [
        (&known.key, known.signed, true),
        (&known.key, &other_message, false),
        (&known.other_key, known.signed, false),
    ]
    .into_iter()
    .all(|(key, message, expected)| {
        question(alg, key, message.as_bytes(), &known.signature)
            .and_then(|argument| ask(&argument))
            .is_some_and(|answer| (answer == TRUE) == expected)
    })
}

/// `VerifySignatureArgument`: hash, key, signature and message, in the fields 1 to 4. `None` when the signature cannot be a good
/// one of this key: another length, r or s out of range, a key of another kind.
fn question(alg: Alg, key: &DecodingKey, message: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let info = key.try_get_as_bytes().ok()?;
    let (hash, signature) = match (alg.scheme(), key.family()) {
        (Scheme::Rsa(Padding::Pkcs1, hash), AlgorithmFamily::Rsa) => {
            let (n, _) = info::read_rsa(info)?;
            (
                hash,
                (signature.len() == n.len()).then(|| signature.to_vec())?,
            )
        }
        (Scheme::Ecdsa(curve), AlgorithmFamily::Ec) => {
            info::read_ec(curve, info)?;
            (curve.hash(), ecdsa_der(curve, signature)?)
        }
        (
            Scheme::Rsa(..) | Scheme::Ecdsa(_) | Scheme::Ed25519 | Scheme::Hmac(_),
            AlgorithmFamily::Rsa
            | AlgorithmFamily::Ec
            | AlgorithmFamily::Ed
            | AlgorithmFamily::Hmac,
        ) => return None,
    };
    let hash = hash_name(hash).as_bytes();
    let mut argument = Vec::new();
    for (number, field) in [(1, hash), (2, info), (3, &*signature), (4, message)] {
        put_bytes(&mut argument, number, field);
    }
    Some(argument)
}

/// The names that Envoy takes.
fn hash_name(hash: Hash) -> &'static str {
    match hash {
        Hash::Sha256 => "sha256",
        Hash::Sha384 => "sha384",
        Hash::Sha512 => "sha512",
    }
}

/// r and s as a DER sequence (RFC 3279 section 2.2.3), where both are in range.
fn ecdsa_der(curve: Curve, raw: &[u8]) -> Option<Vec<u8>> {
    Some(match curve {
        Curve::P256 => {
            let der = p256::ecdsa::Signature::from_slice(raw).ok()?.to_der();
            der.as_bytes().to_vec()
        }
        Curve::P384 => {
            let der = p384::ecdsa::Signature::from_slice(raw).ok()?.to_der();
            der.as_bytes().to_vec()
        }
        Curve::P521 => {
            let der = p521::ecdsa::Signature::from_slice(raw).ok()?.to_der();
            der.as_bytes().to_vec()
        }
    })
}

/// A length-delimited field (protobuf encoding, wire type 2).
fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push((field << 3) | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        message.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).unwrap_or_default());
    message.extend_from_slice(bytes);
}

#[cfg(test)]
pub(super) mod tests;
