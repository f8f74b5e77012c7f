//! Who calls: what was proved of the caller, as one value. There is no other way to make it than by proof.
//!
//! Decided here: which proofs a route asks for, that a token is bound to who sends it, and in which order the questions are
//! asked. Not decided here: whether a token, key, proof or certificate is good (`token`, `api_key`, `peer`), and whether the
//! caller may (`decide`).
//! Against THREATS 18: identity never comes from a header that a client can send. Against THREATS 22: one credential.

use crate::api_key::{ApiKey, ApiKeyFault};
use crate::facts::{Credential, Found, Place, Presented, RequestFacts};
use crate::library::Shelf;
use crate::peer::{Connection, Peer, PeerFault, PeerFaultKind};
use crate::policy::{CredentialKind, Needs, Policy};
use crate::refusal::{Code, Refusal};
use crate::token::dpop::{
    DpopFault, Mark, NoncePolicy, Nonces, Proof, ProofQuestion, SharedSecret,
};
use crate::token::{
    self, Authentication, Binding, Crypto, Issuer, Memory, Possession, Secret, TokenFault, Verified,
};
use std::sync::Arc;

/// A proved identity.
#[derive(Debug, Clone)]
pub struct Identity {
    vouched: Option<Vouched>,
    peer: Option<Peer>,
}

/// Who vouches for the caller beside the connection.
#[derive(Debug, Clone)]
enum Vouched {
    /// An issuer, by a token.
    Token(Arc<Verified>),
    /// The policy itself, by an API key.
    ApiKey(Arc<ApiKey>),
}

/// What a request brings to prove who calls, kept until it is proved. Nothing shows the credential.
#[derive(Debug)]
pub struct Evidence {
    credential: Credential,
    proofs: Vec<Vec<u8>>,
    target: Target,
    peer: Result<Option<Peer>, PeerFault>,
    certificate: Option<[u8; 32]>,
}

/// What a proof of possession is for (RFC 9449 section 4.2).
#[derive(Debug)]
struct Target {
    method: String,
    scheme: String,
    authority: String,
    path: String,
}

/// How far the proof has come.
#[derive(Debug)]
pub enum Proving {
    /// Proved.
    Proved(Identity),
    /// Proved, if this mark of a proof of possession was not seen before.
    Fresh(Identity, Mark),
    /// Keys of the token's issuer are not here yet.
    KeysAwaited(Refusal),
    /// The token names a key that was not on the shelf when it was last filled.
    KeyNotFetched(Shelf, Refusal),
}

/// What everything stands on: the same for every event of a worker until the policy changes.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// What was fetched and what was verified already.
    pub memory: &'a mut Memory,
    /// Proof that signatures can be checked.
    pub crypto: Crypto,
}

impl Evidence {
    /// What the head and its connection bring.
    pub fn new(facts: &RequestFacts<'_>, connection: &Connection, policy: &Policy) -> Self {
        let peer = policy.peers.prove(connection, facts.forwarded());
        let certificate = match &peer {
            Ok(Some(peer)) => Some(*peer.certificate_digest()),
            // The connection is a trusted proxy's, and what it tells of the caller cannot be relied on.
            Err(fault) if fault.kind() == PeerFaultKind::Forwarded => None,
            Ok(None) | Err(_) => connection.bound_certificate(),
        };
        Self {
            credential: facts.credential().clone(),
            proofs: facts.proofs().iter().map(|proof| proof.to_vec()).collect(),
            target: Target {
                method: facts.method().to_owned(),
                scheme: facts.scheme().to_owned(),
                authority: facts.authority().to_owned(),
                path: facts.path().to_owned(),
            },
            peer,
            certificate,
        }
    }

    /// The peer, for the record: as far as it is proved.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref().ok().and_then(Option::as_ref)
    }

    /// Where the credential stands.
    pub fn found(&self) -> Option<&Found> {
        match &self.credential {
            Credential::One(presented) => Some(presented.place()),
            Credential::None | Credential::Repeated => None,
        }
    }

    /// Proves who calls, as far as `needs` asks. `now` in milliseconds since 1970 (UTC).
    ///
    /// # Errors
    /// 401, 403 or 503 with the reason, never with anything of the credential.
    pub fn prove(
        &self,
        needs: Needs,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> Result<Proving, Refusal> {
        if matches!(self.credential, Credential::Repeated) {
            return Err(Refusal::new(
                Code::CredentialRepeated,
                "send exactly one credential",
            ));
        }
        let peer = self.prove_peer(needs)?;
        match needs.credential {
            Some(CredentialKind::Token) => self.prove_token(peer, now, ground),
            Some(CredentialKind::ApiKey) => Ok(Proving::Proved(Identity {
                vouched: Some(Vouched::ApiKey(self.prove_api_key(now, ground.policy)?)),
                peer,
            })),
            None => Ok(Proving::Proved(Identity {
                vouched: None,
                peer,
            })),
        }
    }

    fn prove_token(
        &self,
        peer: Option<Peer>,
        now: u64,
        ground: &mut Ground<'_>,
    ) -> Result<Proving, Refusal> {
        let Ground {
            policy,
            memory,
            crypto,
        } = ground;
        let (presented, token) = self.present(
            &policy.places.tokens,
            "send a token: Authorization: Bearer <token>",
        )?;
        let verified = match token::verify(token, &policy.issuers, memory, now, *crypto) {
            Ok(verified) => verified,
            Err(fault @ TokenFault::KeysAwaited) => {
                return Ok(Proving::KeysAwaited(of_token(fault)));
            }
            Err(fault @ TokenFault::KeyNotFetched(shelf)) => {
                return Ok(Proving::KeyNotFetched(shelf, of_token(fault)));
            }
            Err(fault) => return Err(of_token(fault)),
        };
        let issuer = policy
            .issuers
            .named(verified.issuer())
            .ok_or_else(|| of_token(TokenFault::IssuerUnknown))?;
        let mut places = issuer.from().iter();
        if !places.any(|place| place.read(presented).is_some()) {
            return Err(of_token(TokenFault::PlaceWrong));
        }
        let held = self.bind(presented, &verified, issuer)?;
        let identity = Identity {
            vouched: Some(Vouched::Token(Arc::clone(&verified))),
            peer,
        };
        match held {
            Held::Enough => Ok(Proving::Proved(identity)),
            Held::ByKey(key) => {
                let secret = memory.shared_secret.as_ref();
                let mark = self
                    .prove_possession(token, key, issuer, (now, *crypto), secret)
                    .map_err(|fault| of_dpop(fault, issuer, now, secret))?;
                Ok(Proving::Fresh(identity, mark))
            }
        }
    }

    /// The peer, where the route or one of its rules asks for one.
    fn prove_peer(&self, needs: Needs) -> Result<Option<Peer>, Refusal> {
        match &self.peer {
            Ok(Some(peer)) => Ok(Some(peer.clone())),
            Ok(None) if needs.peer => Err(Refusal::new(
                Code::PeerMissing,
                "connect with a client certificate",
            )),
            // WHY also for rules: what cannot be decided is refused; a denial by peer would be escaped.
            Err(fault) if needs.peer || needs.peer_in_rules => Err(of_peer(fault)),
            Ok(None) | Err(_) => Ok(None),
        }
    }

    /// The credential, if it stands in one of these places.
    fn present(
        &self,
        places: &[Place],
        wanted: &'static str,
    ) -> Result<(&Presented, Secret<'_>), Refusal> {
        let Credential::One(presented) = &self.credential else {
            return Err(Refusal::new(Code::CredentialMissing, wanted));
        };
        places
            .iter()
            .find_map(|place| Some((presented, place.read(presented)?)))
            .ok_or_else(|| {
                Refusal::new(
                    Code::CredentialMissing,
                    format!("this credential is not taken here; {wanted}"),
                )
            })
    }

    fn prove_api_key(&self, now: u64, policy: &Policy) -> Result<Arc<ApiKey>, Refusal> {
        const WANTED: &str = "send an API key: Authorization: Bearer <key>";
        let (presented, key) = self.present(&policy.places.api_keys, WANTED)?;
        if presented.is_dpop() {
            return Err(Refusal::new(Code::CredentialMissing, WANTED));
        }
        match policy.api_keys.verify(key, token::seconds(now)) {
            Ok(key) => Ok(Arc::clone(key)),
            Err(fault) => {
                let code = match fault {
                    ApiKeyFault::Unknown => Code::ApiKeyUnknown,
                    ApiKeyFault::Expired => Code::ApiKeyExpired,
                };
                Err(Refusal::new(code, fault.to_string()))
            }
        }
    }

    /// Holds a token to what it is bound to, and to what its issuer demands.
    fn bind(
        &self,
        presented: &Presented,
        verified: &Verified,
        issuer: &Issuer,
    ) -> Result<Held, Refusal> {
        let unbound = |message: &'static str| Err(Refusal::new(Code::TokenBinding, message));
        let binding = verified.binding();
        match (issuer.possession(), binding) {
            (Possession::None, _)
            | (Possession::Mtls | Possession::Any, Binding::Certificate(_))
            | (Possession::Dpop | Possession::Any, Binding::Key(_)) => {}
            (Possession::Mtls | Possession::Dpop | Possession::Any, _) => {
                return unbound("The token is not bound as its issuer demands.");
            }
        }
        match binding {
            // RFC 9449 section 7.1: the scheme says that a proof counts, and there is nothing for it to count for.
            Binding::Bearer | Binding::Certificate(_) if presented.is_dpop() => {
                unbound("The token is not bound to a key; send it as Bearer.")
            }
            Binding::Bearer => Ok(Held::Enough),
            Binding::Certificate(digest) if self.certificate == Some(*digest) => Ok(Held::Enough),
            Binding::Certificate(_) => {
                unbound("The token is bound to a certificate that this connection does not show.")
            }
            // RFC 9449 section 7.2: a bound token that comes as if it were not is a downgrade.
            Binding::Key(_) if presented.is_authorization() && !presented.is_dpop() => {
                unbound("The token is bound to a key; send it as DPoP.")
                    .map_err(|refusal| refusal.proof(proof_algorithms(issuer), None))
            }
            Binding::Key(key) => Ok(Held::ByKey(*key)),
        }
    }

    /// Checks the one proof of possession, and gives the mark by which it is taken once.
    fn prove_possession(
        &self,
        token: Secret<'_>,
        key: [u8; 32],
        issuer: &Issuer,
        (now, crypto): (u64, Crypto),
        secret: Option<&SharedSecret>,
    ) -> Result<Mark, DpopFault> {
        let proof = match self.proofs.as_slice() {
            [proof] => proof,
            [] => return Err(DpopFault::Missing),
            [_, ..] => return Err(DpopFault::Repeated),
        };
        let secret = secret.ok_or(DpopFault::Corrupt)?;
        let nonces = Nonces::new(secret.clone());
        let question = ProofQuestion {
            method: &self.target.method,
            scheme: &self.target.scheme,
            authority: &self.target.authority,
            path: &self.target.path,
            token,
            now_seconds: token::seconds(now),
            nonces: Some(&nonces),
        };
        let proof = Proof::check(proof, &question, issuer.dpop(), crypto)?;
        if proof.thumbprint() == key {
            Ok(proof.mark(secret))
        } else {
            Err(DpopFault::ThumbprintMismatch)
        }
    }
}

/// What a token's binding still asks for.
enum Held {
    /// Nothing.
    Enough,
    /// A proof of the key with this thumbprint.
    ByKey([u8; 32]),
}

impl Identity {
    /// The name of the issuer that vouches, for a token.
    pub fn issuer(&self) -> Option<&str> {
        self.token().map(Verified::issuer)
    }

    /// The id of the API key.
    pub fn api_key(&self) -> Option<&Arc<str>> {
        match &self.vouched {
            Some(Vouched::ApiKey(key)) => Some(&key.id),
            Some(Vouched::Token(_)) | None => None,
        }
    }

    /// The token's claims.
    pub fn token(&self) -> Option<&Verified> {
        match &self.vouched {
            Some(Vouched::Token(token)) => Some(token),
            Some(Vouched::ApiKey(_)) | None => None,
        }
    }

    /// The subject of the token or API key; none where only the peer is proved.
    pub fn subject(&self) -> Option<&str> {
        self.vouched.as_ref().map(|vouched| match vouched {
            Vouched::Token(token) => token.subject(),
            Vouched::ApiKey(key) => key.subject.as_str(),
        })
    }

    /// The tenant, where there is one.
    pub fn tenant(&self) -> Option<&str> {
        self.vouched.as_ref().and_then(|vouched| match vouched {
            Vouched::Token(token) => token.tenant(),
            Vouched::ApiKey(key) => key.tenant.as_deref(),
        })
    }

    /// The scopes it holds; a peer alone holds none.
    pub fn scopes(&self) -> &[String] {
        match &self.vouched {
            Some(Vouched::Token(token)) => token.scopes(),
            Some(Vouched::ApiKey(key)) => &key.scopes,
            None => &[],
        }
    }

    /// The roles it holds.
    pub fn roles(&self) -> &[String] {
        self.token().map(Verified::roles).unwrap_or_default()
    }

    /// The groups it belongs to.
    pub fn groups(&self) -> &[String] {
        self.token().map(Verified::groups).unwrap_or_default()
    }

    /// How its user signed in.
    pub fn authentication(&self) -> Option<&Authentication> {
        self.token().map(Verified::authentication)
    }

    /// The proved peer.
    pub fn peer(&self) -> Option<&Peer> {
        self.peer.as_ref()
    }
}

/// The refusal for each way in which a token is bad.
fn of_token(fault: TokenFault) -> Refusal {
    let code = match fault {
        TokenFault::Malformed(_) | TokenFault::TooLong => Code::TokenMalformed,
        TokenFault::HeaderRefused(_) => Code::TokenHeader,
        TokenFault::AlgorithmRefused => Code::TokenAlgorithm,
        TokenFault::IssuerMissing | TokenFault::IssuerUnknown | TokenFault::PlaceWrong => {
            Code::TokenIssuer
        }
        TokenFault::KeyUnknown | TokenFault::KeyNotFetched(_) | TokenFault::KeyAmbiguous => {
            Code::TokenKey
        }
        TokenFault::KeysAwaited | TokenFault::KeysExpired => Code::KeysUnavailable,
        TokenFault::SignatureInvalid => Code::TokenSignature,
        TokenFault::AudienceWrong => Code::TokenAudience,
        TokenFault::ClaimMissing(_) | TokenFault::ClaimInvalid(_) => Code::TokenClaims,
        TokenFault::Expired => Code::TokenExpired,
        TokenFault::NotYetValid | TokenFault::IssuedInFuture => Code::TokenNotYetValid,
        TokenFault::LifetimeTooLong => Code::TokenLifetime,
        TokenFault::Revoked => Code::TokenRevoked,
    };
    let refusal = Refusal::new(code, fault.to_string());
    match code {
        Code::KeysUnavailable => refusal.retry_after(RETRY_SECONDS),
        _ => refusal,
    }
}

/// After how many seconds another try makes sense when what an issuer must give is not there.
const RETRY_SECONDS: u32 = 5;

/// The refusal for each way in which a proof of possession is bad. It carries the nonce that the next one must carry.
fn of_dpop(fault: DpopFault, issuer: &Issuer, now: u64, secret: Option<&SharedSecret>) -> Refusal {
    if fault.is_ours() {
        return Refusal::new(Code::DpopUnavailable, fault.to_string()).retry_after(RETRY_SECONDS);
    }
    let code = if fault.asks_for_nonce() {
        Code::DpopNonce
    } else {
        Code::DpopInvalid
    };
    let nonce = secret
        .filter(|_| issuer.dpop().nonce() == NoncePolicy::Required)
        .map(|secret| Nonces::new(secret.clone()).current(token::seconds(now)));
    Refusal::new(code, fault.to_string()).proof(proof_algorithms(issuer), nonce)
}

/// The algorithms by which a proof for this issuer's tokens may be signed, as a challenge names them (RFC 9449 section 7.1).
fn proof_algorithms(issuer: &Issuer) -> String {
    let algorithms = issuer.dpop().algorithms().iter();
    let names: Vec<&str> = algorithms.map(|alg| alg.name()).collect();
    names.join(" ")
}

/// The refusal for each way in which a peer is not proved.
fn of_peer(fault: &PeerFault) -> Refusal {
    let code = match fault.kind() {
        PeerFaultKind::NotValidated => Code::PeerNotValidated,
        PeerFaultKind::Certificate => Code::PeerCertificate,
        PeerFaultKind::Identity => Code::PeerIdentity,
        PeerFaultKind::TrustDomain => Code::PeerTrustDomain,
        PeerFaultKind::TlsVersion => Code::PeerTlsVersion,
        PeerFaultKind::Forwarded => Code::PeerForwarded,
    };
    Refusal::new(code, fault.to_string())
}
