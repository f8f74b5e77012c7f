//! Tokens whose issuer's keys are fetched, and tokens that were verified before: what is asked at every use.
//!
//! A worker plays the map and the issuer: documents come when the test says so.

use super::*;
use crate::fetch::{Answer, Call, Event, Kind, Source, SourceSpec};
use crate::library::{Errand, Shelf};
use crate::store::{Ask, Cas, Told};
use std::collections::{BTreeMap, VecDeque};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const KEYS: Shelf = Shelf(0);
const LIST: Shelf = Shelf(1);
const REFRESH: u64 = 60_000;
const MAX_STALE: u64 = 600_000;
const START: u64 = NOW * 1000;

struct Worker {
    issuers: Issuers,
    memory: Memory,
    map: BTreeMap<String, (Vec<u8>, u32)>,
    marks: u32,
    calls: Vec<(Shelf, Call)>,
}

fn source(kind: Kind) -> Source {
    let path = match kind {
        Kind::Revocation => "/revoked.json",
        Kind::Keys | Kind::Discovery { .. } => "/jwks.json",
    };
    Source::new(SourceSpec {
        cluster: "idp".into(),
        authority: "idp".into(),
        path: path.into(),
        refresh_ms: REFRESH,
        timeout_ms: 1_000,
        max_stale_ms: MAX_STALE,
        kind,
    })
    .unwrap()
}

fn corp(revoked: Revoked) -> IssuerSpec {
    IssuerSpec {
        revoked,
        max_lifetime: 3600,
        ..IssuerSpec::new(
            "corp",
            "https://idp.example.com",
            vec!["inference".into()],
            super::Keys::Fetched(KEYS),
        )
    }
}

impl Worker {
    fn new(spec: IssuerSpec) -> Self {
        Self {
            issuers: Issuers::new(vec![Issuer::new(spec).unwrap()]).unwrap(),
            memory: Memory {
                library: Library::new(&[source(Kind::Keys), source(Kind::Revocation)]),
                ..Memory::default()
            },
            map: BTreeMap::new(),
            marks: 0,
            calls: Vec::new(),
        }
    }

    fn ask(&mut self, ask: Ask) -> Told {
        match ask {
            Ask::Read { key } => Told::Value(
                self.map
                    .get(&key)
                    .map(|(value, mark)| (value.clone(), Cas::of(*mark).unwrap())),
            ),
            Ask::Swap { key, value, .. } => {
                self.marks += 1;
                self.map.insert(key, (value, self.marks));
                Told::Swapped
            }
        }
    }

    fn fill(&mut self, shelf: Shelf, event: Event, now: u64) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for errand in self.memory.library.on(shelf, event, now, 7) {
                match errand {
                    Errand::Ask(ask) => events.push_back(Event::Told(self.ask(ask))),
                    Errand::Call(call) => self.calls.push((shelf, call)),
                    Errand::Note(_) | Errand::Remark(_) => {}
                }
            }
        }
    }

    /// The time comes to look, and the issuer answers what is asked: with this on this shelf, else not at all.
    fn fetch(&mut self, shelf: Shelf, body: &str, now: u64) {
        self.fill(shelf, Event::Tick, now);
        let calls = std::mem::take(&mut self.calls);
        assert!(!calls.is_empty(), "nothing is fetched at {now}");
        for (of, call) in calls {
            let answer = Answer {
                status: 200,
                cache_control: None,
                age: None,
                body: body.as_bytes().to_vec(),
            };
            let number = call.number;
            self.fill(of, Event::Answered { number, answer }, now);
        }
    }

    fn verify(&mut self, token: &str, now: u64) -> Result<Arc<Verified>, TokenFault> {
        let secret = Secret::new(token.as_bytes());
        let crypto = Crypto::rust_crypto().unwrap();
        verify(secret, &self.issuers, &mut self.memory, now, crypto)
    }

    fn hits(&self) -> u64 {
        self.memory.tokens.counts().hits
    }
}

fn token(more: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://idp.example.com","aud":"inference","sub":"alice","exp":{},"iat":{NOW}{more}}}"#,
        NOW + 3000
    );
    signing::token("ed-1", EDDSA, &claims)
}

#[test]
fn keys_come_change_and_go() {
    let mut worker = Worker::new(corp(Revoked::Never));
    let token = token("");
    assert_eq!(
        worker.verify(&token, START).err(),
        Some(TokenFault::KeysAwaited)
    );
    worker.fetch(KEYS, &signing::jwks(&["ed-1"]), START);
    assert!(worker.verify(&token, START).is_ok());
    assert!(worker.verify(&token, START).is_ok());
    assert_eq!(worker.hits(), 1, "the second time it is known");

    let second = START + REFRESH + 1;
    worker.fetch(KEYS, &signing::jwks(&["ed-1"]), second);
    assert!(worker.verify(&token, second).is_ok());
    assert_eq!(worker.hits(), 2, "the same set again changes nothing");

    let third = second + REFRESH + 1;
    worker.fetch(KEYS, &signing::jwks(&["ec-1", "ed-1"]), third);
    assert!(worker.verify(&token, third).is_ok());
    assert_eq!(worker.hits(), 2, "another set: it is verified anew");

    let fourth = third + REFRESH + 1;
    worker.fetch(KEYS, &signing::jwks(&["ec-1"]), fourth);
    assert_eq!(
        worker.verify(&token, fourth).err(),
        Some(TokenFault::KeyNotFetched(KEYS)),
        "its key is gone, and what was verified by it too"
    );

    let fifth = fourth + REFRESH + 1;
    worker.fetch(KEYS, &signing::jwks(&["ed-2=ed-1"]), fifth);
    assert_eq!(
        worker.verify(&token, fifth).err(),
        Some(TokenFault::SignatureInvalid),
        "another key under its name"
    );

    let sixth = fifth + REFRESH + 1;
    worker.fetch(KEYS, &signing::jwks(&["ed-1"]), sixth);
    assert!(worker.verify(&token, sixth).is_ok());
    let end = sixth + MAX_STALE;
    assert!(worker.verify(&token, end - 1).is_ok(), "the last moment");
    assert_eq!(
        worker.verify(&token, end + 1).err(),
        Some(TokenFault::KeysExpired),
        "a token that was verified is no better than the keys"
    );
}

/// A known token is asked for its dates at each use, by a clock that may be set.
#[test]
fn a_known_token_ends_as_an_unknown_one_does() {
    let at = |seconds: u64| seconds * 1000;
    for (why, now, expected) in [
        ("as it was issued", at(NOW), None),
        ("the last second of its leeway", at(NOW + 3029) + 999, None),
        ("over", at(NOW + 3030), Some(TokenFault::Expired)),
        (
            "the clock was set back, within the leeway",
            at(NOW - 30),
            None,
        ),
        (
            "and further",
            at(NOW - 31),
            Some(TokenFault::IssuedInFuture),
        ),
    ] {
        let inline = IssuerSpec {
            keys: super::Keys::Inline(keys(&["ed-1"])),
            algorithms: vec![Alg::EdDsa],
            ..corp(Revoked::Never)
        };
        let mut worker = Worker::new(inline);
        let token = token("");
        assert!(worker.verify(&token, START).is_ok());
        assert_eq!(worker.verify(&token, now).err(), expected, "{why}");
        assert_eq!(worker.hits(), 1, "{why}");
    }
}

/// What the issuer has taken back counts at the next use, whether the token is known or not.
#[test]
fn a_known_token_is_revoked_at_its_next_use() {
    let issued_before = |date: u64| format!(r#"{{"issuedBefore":{date}}}"#);
    for (why, list, expected) in [
        ("nothing", "{}".to_string(), None),
        (
            "its id",
            r#"{"jti":["a1"]}"#.into(),
            Some(TokenFault::Revoked),
        ),
        (
            "its subject",
            r#"{"subject":["alice"]}"#.into(),
            Some(TokenFault::Revoked),
        ),
        (
            "the key that signed it",
            r#"{"kid":["ed-1"]}"#.into(),
            Some(TokenFault::Revoked),
        ),
        (
            "all of before",
            issued_before(NOW + 1),
            Some(TokenFault::Revoked),
        ),
        ("all of before it", issued_before(NOW), None),
        ("others", r#"{"jti":["a2"],"subject":["bob"]}"#.into(), None),
    ] {
        let mut worker = Worker::new(corp(Revoked::Fetched(LIST)));
        let token = token(r#","jti":"a1""#);
        worker.fetch(KEYS, &signing::jwks(&["ed-1"]), START);
        assert_eq!(
            worker.verify(&token, START).err(),
            Some(TokenFault::KeysAwaited),
            "{why}: without a list nothing is decided"
        );
        worker.fetch(LIST, "{}", START);
        assert!(worker.verify(&token, START).is_ok(), "{why}");
        let later = START + REFRESH + 1;
        worker.fetch(LIST, &list, later);
        assert_eq!(worker.verify(&token, later).err(), expected, "{why}: known");
        let fresh = super::held::token(r#","jti":"a1","x":1"#);
        assert_eq!(worker.verify(&fresh, later).err(), expected, "{why}: new");
    }
}

#[test]
fn a_list_that_is_too_old_decides_nothing() {
    let mut worker = Worker::new(corp(Revoked::Fetched(LIST)));
    let token = token("");
    worker.fetch(LIST, "{}", START);
    let later = START + 300_000;
    worker.fetch(KEYS, &signing::jwks(&["ed-1"]), later);
    assert!(worker.verify(&token, later).is_ok());
    let end = START + MAX_STALE;
    assert!(worker.verify(&token, end - 1).is_ok());
    assert_eq!(
        worker.verify(&token, end + 1).err(),
        Some(TokenFault::KeysExpired),
        "the keys are good, the list is not"
    );
}

/// What was refused is not kept, and what is kept is of the issuer that vouched.
#[test]
fn what_is_kept_is_what_was_good_of_that_issuer() {
    let crypto = Crypto::rust_crypto().unwrap();
    let mut memory = Memory::default();
    let mut check = |issuers: &Issuers, token: &str| {
        let secret = Secret::new(token.as_bytes());
        let found = verify(secret, issuers, &mut memory, START, crypto);
        (found.err(), memory.tokens.len())
    };
    let list = Json::parse(br#"{"subject":["mallory"]}"#, 4).unwrap();
    let with = |name: &str, iss: &str| {
        Issuer::new(IssuerSpec {
            name: name.into(),
            issuer: iss.into(),
            keys: super::Keys::Inline(keys(&["ed-1"])),
            algorithms: vec![Alg::EdDsa],
            ..corp(Revoked::Inline(Arc::new(Revocation::parse(&list).unwrap())))
        })
        .unwrap()
    };
    let corp = with("corp", "https://idp.example.com");
    let other = with("other", "https://other.example.com");
    let issuers = Issuers::new(vec![corp.clone(), other.clone()]).unwrap();
    let good = token("");
    let mallory = good_of("mallory");
    assert_eq!(check(&issuers, &mallory), (Some(TokenFault::Revoked), 0));
    let forged = format!("{}AA", &good[..good.len() - 2]);
    assert_eq!(check(&issuers, &forged).1, 0, "a bad signature");
    assert_eq!(check(&issuers, &good), (None, 1));
    let swapped = Issuers::new(vec![other.clone(), corp]).unwrap();
    assert_eq!(
        check(&swapped, &good),
        (None, 1),
        "under other places it is verified anew"
    );
    let alone = Issuers::new(vec![other]).unwrap();
    assert_eq!(
        check(&alone, &good).0,
        Some(TokenFault::IssuerUnknown),
        "what stands at its issuer's place now does not vouch for it"
    );
}

fn good_of(subject: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://idp.example.com","aud":"inference","sub":"{subject}","exp":{},"iat":{NOW}}}"#,
        NOW + 3000
    );
    signing::token("ed-1", EDDSA, &claims)
}
