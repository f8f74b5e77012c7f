//! What always holds of a request that waits before its caller is proved: for keys, for a list of revoked tokens, for whether a
//! proof of possession is new. Keys that come later change nothing but the time.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

mod host;

use host::request::{End, Request, outcome, requests};
use host::{
    BEARER, Books, Gateway, HOLD_TIMEOUT, KEYS, LIST, NOW, bound_to, fetched, holder, inline, jwks,
    key, policy, proof, token,
};
use postern_core::audit::Outcome;
use postern_core::fetch;
use postern_core::policy::HeadHold;
use postern_core::refusal::Code;
use postern_core::store::{Cas, Told};
use postern_core::stream::{Ended, Event, Stream, Waits};
use postern_core::token::IssuerSpec;
use postern_core::token::dpop::{DpopPolicy, DpopSpec, NoncePolicy};
use proptest::prelude::*;

const MODES: [HeadHold; 3] = [HeadHold::Flag, HeadHold::Buffer, HeadHold::None];

/// An ordinary request in one piece.
fn ordinary(mode: HeadHold) -> Request {
    Request {
        mode,
        body: br#"{"model":"gpt-4o","messages":[]}"#.to_vec(),
        length: false,
        end: End::WithLastByte,
    }
}

/// Sends a request to a gateway whose keys and list come after the report `at`.
fn run_late(request: &Request, cuts: &[usize], at: usize, listed: bool) -> Books {
    let host = &mut Gateway::new(policy(request.mode, fetched(listed)));
    host.tick(NOW);
    let bearer = [("authorization", BEARER.as_str())];
    request.send(&bearer, cuts, host, |index, stream, books, host| {
        if index < at {
            assert!(
                !books.head_passed && books.passed.is_empty() && !books.end_passed,
                "something passed before anybody was proved"
            );
        }
        if index != at {
            return stream;
        }
        assert_eq!(host.answer(KEYS, 200, &jwks(&[7]), NOW), 1);
        if listed {
            let stream = books.report(stream, Event::Tick, NOW, host);
            assert!(!books.head_passed, "the keys alone prove nothing");
            assert!(
                matches!(stream.waits(), Some(Waits::Keys(_))),
                "it waits for the list"
            );
            assert_eq!(host.answer(LIST, 200, "{}", NOW), 1);
            return books.report(stream, Event::Tick, NOW, host);
        }
        books.report(stream, Event::Tick, NOW, host)
    })
}

fn run_at_once(request: &Request, cuts: &[usize]) -> Books {
    let host = &mut Gateway::new(policy(request.mode, fetched(true)));
    host.fetch_all(NOW);
    let bearer = [("authorization", BEARER.as_str())];
    request.send(&bearer, cuts, host, |_, stream, _, _| stream)
}

proptest! {
    #[test]
    fn keys_that_come_later_change_nothing_but_the_time(
        request in requests(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        at in any::<prop::sample::Index>(),
        listed in any::<bool>(),
    ) {
        let at_once = run_at_once(&request, &cuts);
        let reports = request.reports(&cuts);
        let at = at.index(reports + 1);
        let late = run_late(&request, &cuts, at, listed);
        // Of a request whose end is never told, what came before the keys stays held.
        if request.end == End::LengthOnly && at == reports && at_once.answer.is_none() {
            prop_assert!(late.passed.is_empty());
            prop_assert!(!late.records[0].request.complete, "what did not pass is not recorded as passed");
            prop_assert!(late.records[0].request.digest.is_none());
        } else {
            prop_assert_eq!(outcome(&late), outcome(&at_once));
            prop_assert_eq!(late.records[0].request.complete, at_once.records[0].request.complete);
            if at_once.answer.is_none() {
                prop_assert_eq!(&late.passed, &at_once.passed);
            }
        }
        prop_assert_eq!(late.records.len(), 1);
    }

    #[test]
    fn without_keys_nothing_passes_and_the_deadline_ends_it(
        request in requests(),
        cuts in prop::collection::vec(any::<usize>(), 0..6),
        at in any::<prop::sample::Index>(),
    ) {
        let host = &mut Gateway::new(policy(request.mode, fetched(false)));
        host.tick(NOW);
        let at = at.index(request.reports(&cuts) + 1);
        let bearer = [("authorization", BEARER.as_str())];
        let books = request.send(&bearer, &cuts, host, |index, stream, books, host| {
            if index != at {
                return stream;
            }
            assert_eq!(stream.waits(), Some(Waits::Keys(NOW + HOLD_TIMEOUT)));
            let stream = books.report(stream, Event::Tick, NOW + HOLD_TIMEOUT - 1, host);
            assert!(books.answer.is_none(), "not before its time");
            let stream = books.report(stream, Event::Tick, NOW + HOLD_TIMEOUT, host);
            assert_eq!(stream.waits(), None);
            stream
        });
        let answer = books.answer.as_ref().unwrap();
        prop_assert_eq!((answer.status, answer.details), (503, Code::KeysUnavailable.details()));
        prop_assert!(!books.head_passed && books.passed.is_empty() && !books.end_passed);
        prop_assert_eq!(books.records[0].refusal, Some(Code::KeysUnavailable));
        prop_assert!(books.records[0].caller.is_none(), "nobody was proved");
    }

    /// The same for whoever brings a proof of possession: the map is asked, and a proof counts once.
    #[test]
    fn a_proof_counts_once_whenever_the_keys_come(
        request in requests(),
        cuts in prop::collection::vec(any::<usize>(), 0..4),
        at in any::<prop::sample::Index>(),
    ) {
        let token = token(7, &bound_to(&holder()));
        let bearer = format!("DPoP {token}");
        let proof = proof(&holder(), &token, "one", "");
        let head = [("authorization", bearer.as_str()), ("dpop", proof.as_str())];
        let expected = outcome(&run_at_once(&request, &cuts));
        let host = &mut Gateway::new(policy(request.mode, fetched(false)));
        host.tick(NOW);
        let reports = request.reports(&cuts);
        let at = at.index(reports + 1);
        let late = request.send(&head, &cuts, host, |index, stream, books, host| {
            if index != at {
                return stream;
            }
            host.answer(KEYS, 200, &jwks(&[7]), NOW);
            books.report(stream, Event::Tick, NOW, host)
        });
        prop_assert_eq!(late.asked, 2, "one read, one swap");
        if request.end != End::LengthOnly || at != reports {
            prop_assert_eq!(outcome(&late), expected);
        }
        let again = request.send(&head, &cuts, host, |_, stream, _, _| stream);
        prop_assert_eq!(again.records[0].refusal, Some(Code::DpopReplayed));
        prop_assert!(!again.head_passed && again.passed.is_empty());
    }
}

/// A key that the shelf does not have: fetched again once, and then there or not.
#[test]
fn a_token_of_an_unknown_key() {
    let bearer = format!("Bearer {}", token(8, ""));
    let head = [("authorization", bearer.as_str())];
    // Long enough ago that another attempt may begin.
    let before = NOW - 50_000;
    for mode in MODES {
        for (why, after, published, refused) in [
            ("the key is there now", Some(200), &[7, 8][..], None),
            ("it is not", Some(200), &[7][..], Some(Code::TokenKey)),
            (
                "the issuer does not answer well",
                Some(500),
                &[7, 8][..],
                Some(Code::TokenKey),
            ),
            ("it never answers", None, &[][..], Some(Code::TokenKey)),
        ] {
            let host = &mut Gateway::new(policy(mode, fetched(false)));
            host.tick(before);
            host.answer(KEYS, 200, &jwks(&[7]), before);
            let books = ordinary(mode).send(&head, &[9], host, |index, stream, books, host| {
                if index != 0 {
                    return stream;
                }
                assert_eq!(books.refills, [KEYS], "{why}");
                assert!(!books.head_passed, "{why}");
                host.fill(KEYS, fetch::Event::Wanted, NOW);
                // A tick before the answer asks nothing more.
                let stream = books.report(stream, Event::Tick, NOW, host);
                assert_eq!(books.refills, [KEYS], "{why}: a request asks once");
                match after {
                    Some(status) => {
                        assert_eq!(host.answer(KEYS, status, &jwks(published), NOW), 1, "{why}");
                        books.report(stream, Event::Tick, NOW, host)
                    }
                    None => books.report(stream, Event::Tick, NOW + HOLD_TIMEOUT, host),
                }
            });
            assert_eq!(books.records[0].refusal, refused, "{why}, {mode:?}");
            assert_eq!(
                books.passed.is_empty(),
                refused.is_some(),
                "{why}, {mode:?}"
            );
        }
    }
}

/// Just after an attempt there is no other: who guesses key ids costs the issuer nothing.
#[test]
fn an_unknown_key_in_the_cool_down_is_refused_at_once() {
    let bearer = format!("Bearer {}", token(8, ""));
    let host = &mut Gateway::new(policy(HeadHold::None, fetched(false)));
    host.fetch_all(NOW);
    let head = [("authorization", bearer.as_str())];
    let books = ordinary(HeadHold::None).send(&head, &[], host, |_, stream, _, _| stream);
    assert_eq!(books.records[0].refusal, Some(Code::TokenKey));
    assert!(books.refills.is_empty());
}

/// One row per way in which the map answers, and in which it should not.
#[test]
fn what_the_map_says_of_a_proof() {
    let value = |bytes: &[u8]| Told::Value(Some((bytes.to_vec(), Cas::of(1).unwrap())));
    let lost = [Told::Value(None), Told::Conflict];
    let rows: Vec<(&str, Vec<Told>, Option<Code>, usize)> = vec![
        ("new", vec![], None, 2),
        ("another worker was first, once", lost.to_vec(), None, 4),
        (
            "eight times",
            lost.iter().cloned().cycle().take(16).collect(),
            None,
            18,
        ),
        (
            "always",
            lost.iter().cloned().cycle().take(18).collect(),
            Some(Code::DpopUnavailable),
            18,
        ),
        (
            "the map does not answer the read",
            vec![Told::Unavailable],
            Some(Code::DpopUnavailable),
            1,
        ),
        (
            "nor the swap",
            vec![Told::Value(None), Told::Unavailable],
            Some(Code::DpopUnavailable),
            2,
        ),
        (
            "what stands there is not a bucket",
            vec![value(b"x")],
            Some(Code::DpopUnavailable),
            1,
        ),
        (
            "the answer to a swap where a read was asked",
            vec![Told::Swapped],
            Some(Code::DpopUnavailable),
            1,
        ),
        (
            "a lost race where a read was asked",
            vec![Told::Conflict],
            Some(Code::DpopUnavailable),
            1,
        ),
        (
            "the answer to a read where a swap was asked",
            vec![Told::Value(None), Told::Value(None)],
            Some(Code::DpopUnavailable),
            2,
        ),
    ];
    let token = token(7, &bound_to(&holder()));
    let bearer = format!("DPoP {token}");
    let proof = proof(&holder(), &token, "one", "");
    let head = [("authorization", bearer.as_str()), ("dpop", proof.as_str())];
    for mode in MODES {
        for (why, lies, refused, asked) in &rows {
            let host = &mut Gateway::new(policy(mode, inline()));
            host.map.lies = lies.iter().cloned().collect();
            let books = ordinary(mode).send(&head, &[5], host, |_, stream, _, _| stream);
            assert_eq!(books.records[0].refusal, *refused, "{why}, {mode:?}");
            assert_eq!(books.asked, *asked, "{why}, {mode:?}");
            let passed = !books.passed.is_empty() || books.head_passed;
            assert_eq!(passed, refused.is_none(), "{why}, {mode:?}");
            let answer = books.answer.as_ref().map(|answer| answer.status);
            assert_eq!(answer, refused.map(Code::status), "{why}, {mode:?}");
        }
    }
}

/// The bucket may be full of other workers' marks, and the proof may be too old by the time.
#[test]
fn an_answer_of_the_map_that_is_late_or_never_comes() {
    let token = token(7, &bound_to(&holder()));
    let bearer = format!("DPoP {token}");
    let proof = proof(&holder(), &token, "one", "");
    let pairs: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":path", b"/v1/chat/completions"),
        (b":authority", b"api"),
        (b":scheme", b"https"),
        (b"content-type", b"application/json"),
        (b"authorization", bearer.as_bytes()),
        (b"dpop", proof.as_bytes()),
    ];
    // A host that carries out no effect: the machine waits for what it asked, and no longer than its deadline.
    let host = &mut Gateway::new(policy(HeadHold::None, inline()));
    let connection = postern_core::peer::Connection::default();
    let begin = |host: &mut Gateway| {
        let stream = Stream::new(postern_core::audit::Ids::new([1; 8]).draw(), NOW);
        let head = Event::RequestHead {
            pairs: &pairs,
            connection: &connection,
            end: false,
        };
        stream.on(head, NOW, &mut host.ground()).0
    };
    for (why, events, refused) in [
        (
            "a tick is no answer",
            vec![(Event::Tick, NOW + HOLD_TIMEOUT - 1)],
            None,
        ),
        (
            "the deadline ends it",
            vec![(Event::Tick, NOW + HOLD_TIMEOUT)],
            Some(Code::DpopUnavailable),
        ),
        (
            "by the time of the answer the proof is over",
            vec![(Event::Told(Told::Value(None)), NOW + 200_000)],
            Some(Code::DpopInvalid),
        ),
        (
            "a part that the host lost",
            vec![(Event::Lost, NOW)],
            Some(Code::Undecided),
        ),
        (
            "a second head",
            vec![(
                Event::RequestHead {
                    pairs: &pairs,
                    connection: &connection,
                    end: false,
                },
                NOW,
            )],
            Some(Code::Undecided),
        ),
    ] {
        let mut stream = begin(host);
        for (event, now) in events {
            stream = stream.on(event, now, &mut host.ground()).0;
        }
        assert_eq!(stream.waits().is_none(), refused.is_some(), "{why}");
        let (_, step) = stream.on(Event::Log(Ended::default()), NOW, &mut host.ground());
        let record = step.effects.into_iter().find_map(|effect| match effect {
            postern_core::stream::Effect::Record(record) => Some(record),
            _ => None,
        });
        assert_eq!(record.unwrap().refusal, refused, "{why}");
    }
}

/// An answer of the map that nobody asked for does not belong: refused, and nothing was forwarded.
#[test]
fn an_answer_that_nobody_asked_for_is_refused() {
    for told in [
        Told::Value(None),
        Told::Swapped,
        Told::Conflict,
        Told::Unavailable,
    ] {
        let host = &mut Gateway::new(policy(HeadHold::None, fetched(false)));
        host.tick(NOW);
        let bearer = [("authorization", BEARER.as_str())];
        let books =
            ordinary(HeadHold::None).send(&bearer, &[], host, |index, stream, books, host| {
                if index != 0 {
                    return stream;
                }
                books.report(stream, Event::Told(told.clone()), NOW, host)
            });
        assert_eq!(books.records[0].refusal, Some(Code::Undecided), "{told:?}");
        assert!(!books.head_passed && books.passed.is_empty());
    }
}

/// An answer that begins while nobody is proved is the gateway's own: nothing passes after it.
#[test]
fn an_answer_before_anybody_is_proved_ends_it() {
    for mode in MODES {
        let host = &mut Gateway::new(policy(mode, fetched(false)));
        host.tick(NOW);
        let bearer = [("authorization", BEARER.as_str())];
        let books = ordinary(mode).send(&bearer, &[3], host, |index, stream, books, host| {
            if index != 1 {
                return stream;
            }
            let stream = books.report(stream, Event::ResponseHead, NOW, host);
            assert_eq!(stream.waits(), None);
            host.answer(KEYS, 200, &jwks(&[7]), NOW);
            books.report(stream, Event::Tick, NOW, host)
        });
        assert!(!books.head_passed && books.passed.is_empty(), "{mode:?}");
        assert_eq!(books.records[0].decision, Outcome::None, "{mode:?}");
    }
}

/// A list that is too old, and keys that are: refused at once, for they may be long in coming.
#[test]
fn what_was_fetched_and_is_over_is_not_waited_for() {
    let later = NOW + 700_000;
    let host = &mut Gateway::new(policy(HeadHold::None, fetched(true)));
    host.fetch_all(NOW - 700_000);
    host.tick(NOW);
    let bearer = [("authorization", BEARER.as_str())];
    let books = ordinary(HeadHold::None).send(&bearer, &[], host, |_, stream, _, _| stream);
    assert_eq!(books.records[0].refusal, Some(Code::KeysUnavailable));
    assert!(
        books
            .answer
            .unwrap()
            .headers
            .iter()
            .any(|(name, _)| *name == "retry-after")
    );
    let _ = later;
}

/// A nonce: asked for with a fresh one, which then serves (RFC 9449 section 9).
#[test]
fn a_nonce_is_given_with_the_refusal_and_with_each_answer() {
    let issuer = IssuerSpec {
        dpop: DpopPolicy::new(DpopSpec {
            max_age_seconds: 60,
            leeway_seconds: 30,
            algorithms: DpopPolicy::default().algorithms().to_vec(),
            nonce: NoncePolicy::Required,
        })
        .unwrap(),
        ..inline()
    };
    let host = &mut Gateway::new(policy(HeadHold::None, issuer));
    let token = token(7, &bound_to(&holder()));
    let bearer = format!("DPoP {token}");
    let send = |proof: &str, host: &mut Gateway| {
        let head = [("authorization", bearer.as_str()), ("dpop", proof)];
        ordinary(HeadHold::None).send(&head, &[], host, |_, stream, _, _| stream)
    };
    let first = send(&proof(&holder(), &token, "one", ""), host);
    assert_eq!(first.records[0].refusal, Some(Code::DpopNonce));
    let answer = first.answer.unwrap();
    let nonce = answer
        .headers
        .iter()
        .find(|(name, _)| *name == "dpop-nonce");
    let nonce = nonce.map(|(_, value)| value.to_string()).unwrap();
    let with = |nonce: &str| proof(&holder(), &token, "two", &format!(r#","nonce":"{nonce}""#));
    assert_eq!(
        send(&with("AAAAAAAAAAAAAAAAAAAAAA"), host).records[0].refusal,
        Some(Code::DpopNonce),
        "a nonce of somebody else"
    );
    assert_eq!(send(&with(&nonce), host).records[0].refusal, None);
    let other = key(1);
    let stolen = proof(&other, &token, "three", &format!(r#","nonce":"{nonce}""#));
    assert_eq!(
        send(&stolen, host).records[0].refusal,
        Some(Code::DpopInvalid),
        "the token is not of this key"
    );
}

/// The keys come when a part of the body is here that names the model, and then the client stalls: the hold ends in time.
#[test]
fn a_permitted_part_that_is_held_back_waits_no_longer_than_any_other() {
    let host = &mut Gateway::new(policy(HeadHold::Flag, fetched(false)));
    host.tick(NOW);
    let bearer = [("authorization", BEARER.as_str())];
    let books =
        ordinary(HeadHold::Flag).send(&bearer, &[20], host, |index, stream, books, host| {
            if index != 1 {
                return stream;
            }
            host.answer(KEYS, 200, &jwks(&[7]), NOW);
            let stream = books.report(stream, Event::Tick, NOW, host);
            let Some(Waits::Body(until)) = stream.waits() else {
                panic!("a part is held: {:?}", stream.waits());
            };
            books.report(stream, Event::Tick, until, host)
        });
    assert!(!books.head_passed && books.passed.is_empty());
    assert_eq!(books.records[0].refusal, Some(Code::HoldExpired));
}
