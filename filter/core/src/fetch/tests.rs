#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]
mod worker;

use super::*;
use crate::store::Ask;
use state::Entry;
use worker::{Map, Worker, good, status};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

pub(super) const NOW: u64 = 1_795_320_263_000;
const TICK: u64 = 250;
const LUCK: u32 = u32::MAX / 2;

pub(super) fn source() -> Source {
    Source::new(spec()).unwrap()
}

pub(super) fn spec() -> SourceSpec {
    SourceSpec {
        cluster: "idp".into(),
        authority: "idp.example.com".into(),
        path: "/jwks.json".into(),
        refresh_ms: 60_000,
        timeout_ms: 2_000,
        max_stale_ms: 3_600_000,
        kind: Kind::Keys,
    }
}

pub(super) fn discovery() -> SourceSpec {
    SourceSpec {
        path: DISCOVERY_PATH.into(),
        kind: Kind::Discovery {
            issuer: "https://idp.example.com".into(),
            keys_cluster: Some("keys".into()),
            keys_authority: Some("Keys.example.com".into()),
        },
        ..spec()
    }
}

#[test]
fn one_worker_fetches_and_all_have_the_document_a_tick_later() {
    let mut map = Map::default();
    let mut workers: Vec<Worker> = (0..8).map(|_| Worker::new(spec())).collect();
    let calls: Vec<Call> = workers
        .iter_mut()
        .filter_map(|worker| worker.tick(NOW, &mut map))
        .collect();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(
        call,
        &Call {
            number: 1,
            cluster: "idp".into(),
            authority: "idp.example.com".into(),
            path: "/jwks.json".into(),
            timeout_ms: 2_000,
        }
    );
    assert_eq!(workers[0].fetch().standing(NOW), Standing::Never);
    workers[0].answer(call, good("good 1"), NOW + 40, &mut map);
    assert_eq!(workers[0].notes, [Note::Renewed(1)]);
    for worker in &mut workers {
        assert!(worker.tick(NOW + TICK, &mut map).is_none());
        assert_eq!(worker.adopted(), Some((1, "good 1")));
        assert_eq!(worker.fetch().standing(NOW + TICK), Standing::Good);
        assert_eq!(worker.fetch().tried_at(), Some(NOW + 40));
    }
    assert_eq!(map.values.len(), 2, "two keys for each source, ever");
}

#[test]
fn an_hour_of_eight_workers_is_one_call_for_each_refresh() {
    let mut map = Map::default();
    let mut workers: Vec<Worker> = (0..8).map(|_| Worker::new(spec())).collect();
    let mut calls = 0;
    for step in 0..3_600_000 / TICK {
        for (index, worker) in workers.iter_mut().enumerate() {
            // Workers do not tick together.
            let now = NOW + step * TICK + index as u64;
            if let Some(call) = worker.tick(now, &mut map) {
                calls += 1;
                worker.answer(&call, good("good"), now + 1, &mut map);
            }
        }
    }
    // Each refresh is found by the first tick after it.
    assert_eq!(calls, 60, "calls in an hour, with a refresh of a minute");
    for worker in &workers {
        assert_eq!(
            worker.adopted,
            [(1, "good".into())],
            "the same document is adopted once"
        );
    }
    let notes = || workers.iter().flat_map(|worker| &worker.notes);
    let of = |wanted: Note| notes().filter(|note| **note == wanted).count();
    assert_eq!(
        (
            of(Note::Renewed(1)),
            of(Note::Unchanged(1)),
            notes().count()
        ),
        (1, 59, 60),
        "one note for each attempt"
    );
}

#[test]
fn only_a_200_with_a_usable_body_replaces_what_is_held() {
    let oversized = Answer {
        body: vec![b'g'; MAX_DOCUMENT_BYTES + 1],
        ..good("")
    };
    let largest = format!("good{}", "x".repeat(MAX_DOCUMENT_BYTES - 4));
    for (why, answer, failure) in [
        ("another document", good("good 2"), None),
        ("as large as may be", good(&largest), None),
        ("too large", oversized, Some(Failure::TooLarge)),
        ("empty", good(""), Some(Failure::Empty)),
        (
            "poisoned",
            good("bad"),
            Some(Failure::Document("it is not good")),
        ),
        (
            "a time-out of the gateway",
            status(504),
            Some(Failure::Status(504)),
        ),
        (
            "a refusal of the gateway",
            status(503),
            Some(Failure::Status(503)),
        ),
        (
            "a redirect is not followed",
            status(302),
            Some(Failure::Status(302)),
        ),
        (
            "nothing was asked on a condition",
            status(304),
            Some(Failure::Status(304)),
        ),
        ("other success", status(204), Some(Failure::Status(204))),
        ("a part", status(206), Some(Failure::Status(206))),
        ("no status", status(0), Some(Failure::Status(0))),
    ] {
        let mut map = Map::default();
        let mut worker = Worker::new(spec());
        let call = worker.tick(NOW, &mut map).unwrap();
        worker.answer(&call, good("good 1"), NOW, &mut map);
        let later = NOW + 60_000;
        let call = worker.tick(later, &mut map).unwrap();
        worker.answer(&call, answer.clone(), later, &mut map);
        let generation = worker.adopted().unwrap().0;
        match failure {
            None => assert_eq!(generation, 2, "{why}"),
            Some(failure) => {
                assert_eq!(worker.adopted(), Some((1, "good 1")), "{why}");
                assert_eq!(worker.notes.last(), Some(&Note::Failed(failure)), "{why}");
                assert_eq!(worker.fetch().standing(later), Standing::Good, "{why}");
            }
        }
    }
}

#[test]
fn the_answer_says_how_long_it_is_fresh() {
    let mut map = Map::default();
    let mut worker = Worker::new(spec());
    let call = worker.tick(NOW, &mut map).unwrap();
    let answer = Answer {
        cache_control: Some(b"max-age=30".to_vec()),
        age: Some(b"10".to_vec()),
        ..good("good 1")
    };
    worker.answer(&call, answer, NOW + 100, &mut map);
    assert!(worker.tick(NOW + 20_099, &mut map).is_none());
    assert!(worker.tick(NOW + 20_100, &mut map).is_some());
}

#[test]
fn failures_back_off_over_all_workers_until_the_document_is_too_old() {
    let mut map = Map::default();
    let mut workers: Vec<Worker> = (0..3).map(|_| Worker::new(spec())).collect();
    let call = workers[0].tick(NOW, &mut map).unwrap();
    workers[0].answer(&call, good("good 1"), NOW, &mut map);
    let mut began = Vec::new();
    let mut now = NOW;
    while now < NOW + 3_700_000 {
        now += TICK;
        for worker in &mut workers {
            if let Some(call) = worker.tick(now, &mut map) {
                began.push(now - NOW);
                worker.answer(&call, status(503), now, &mut map);
            }
        }
        let standing = if now < NOW + 3_600_000 {
            Standing::Good
        } else {
            Standing::Expired
        };
        for worker in &workers {
            assert_eq!(worker.fetch().standing(now), standing, "at {}", now - NOW);
        }
    }
    let waits: Vec<u64> = began.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(began[0], 60_000);
    assert_eq!(
        waits[..7],
        [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000]
    );
    assert!(
        waits[7..].iter().all(|wait| *wait == 60_000),
        "capped: {waits:?}"
    );
    let told: usize = workers.iter().map(|worker| worker.notes.len()).sum();
    assert_eq!(told, began.len() + 1, "one note for each attempt");
}

#[test]
fn a_wish_is_granted_once_in_a_cool_down_over_all_workers() {
    let mut map = Map::default();
    let mut workers: Vec<Worker> = (0..4).map(|_| Worker::new(spec())).collect();
    let call = workers[0].tick(NOW, &mut map).unwrap();
    assert!(workers[0].fetch().may_ask(NOW), "one is under way");
    assert!(
        workers[0].on(Event::Wanted, NOW, &mut map).is_none(),
        "it serves the wish"
    );
    workers[0].answer(&call, good("good 1"), NOW, &mut map);
    let mut calls = 0;
    let mut now = NOW;
    while now < NOW + 50_000 {
        for worker in &mut workers {
            let may = now - NOW >= COOL_DOWN_MS;
            worker.tick(now, &mut map);
            let call = worker.on(Event::Wanted, now, &mut map);
            assert!(may || call.is_none(), "too soon");
            if let Some(call) = call {
                calls += 1;
                worker.answer(&call, good("good 1"), now, &mut map);
                assert!(!worker.fetch().may_ask(now), "the next has to wait");
                assert_eq!(worker.fetch().tried_at(), Some(now));
            }
        }
        now += TICK;
    }
    assert_eq!(calls, 4, "at 10, 20, 30 and 40 seconds");
    // Also while a failing source is backed off.
    let mut due = workers[1].on(Event::Wanted, now, &mut map);
    for round in 1..6 {
        let call = due.unwrap();
        workers[1].answer(&call, status(500), now, &mut map);
        now += COOL_DOWN_MS;
        due = workers[1].on(Event::Wanted, now, &mut map);
        assert!(due.is_some(), "round {round}");
    }
}

#[test]
fn a_discovery_takes_two_calls_in_one_lease() {
    let mut map = Map::default();
    let mut workers = [Worker::new(discovery()), Worker::new(discovery())];
    let first = workers[0].tick(NOW, &mut map).unwrap();
    assert_eq!(
        (first.cluster.as_str(), first.path.as_str()),
        ("idp", DISCOVERY_PATH)
    );
    let document =
        r#"{"issuer":"https://idp.example.com","jwks_uri":"https://keys.example.com/v2/keys?x=1"}"#;
    let second = workers[0]
        .answer(&first, good(document), NOW + 1_900, &mut map)
        .unwrap();
    assert_eq!(
        second,
        Call {
            number: 2,
            cluster: "keys".into(),
            authority: "keys.example.com".into(),
            path: "/v2/keys?x=1".into(),
            timeout_ms: 2_000,
        }
    );
    assert!(workers[1].tick(NOW + 3_000, &mut map).is_none(), "leased");
    workers[0].answer(&first, good("good 0"), NOW + 3_000, &mut map);
    assert_eq!(workers[0].adopted(), None, "the answer of another call");
    workers[0].answer(&second, good("good 1"), NOW + 3_800, &mut map);
    workers[1].tick(NOW + 4_000, &mut map);
    assert_eq!(
        workers[1].adopted(),
        Some((1, "good 1")),
        "what is shared are the keys"
    );
}

#[test]
fn a_discovery_that_points_elsewhere_calls_nobody() {
    let mut map = Map::default();
    let mut worker = Worker::new(discovery());
    let call = worker.tick(NOW, &mut map).unwrap();
    let document =
        r#"{"issuer":"https://idp.example.com","jwks_uri":"https://169.254.169.254/keys"}"#;
    assert!(
        worker
            .answer(&call, good(document), NOW, &mut map)
            .is_none()
    );
    let why = "`jwks_uri` names another host than the policy";
    assert_eq!(worker.notes, [Note::Failed(Failure::Discovery(why))]);
}

#[test]
fn a_worker_that_dies_with_the_lease_holds_up_the_others_no_longer_than_it() {
    let mut map = Map::default();
    let mut dead = Worker::new(spec());
    assert!(dead.tick(NOW, &mut map).is_some());
    let mut other = Worker::new(spec());
    let lease = source().lease_ms();
    assert!(other.tick(NOW + lease - 1, &mut map).is_none(), "leased");
    assert!(
        other.tick(NOW + lease, &mut map).is_none(),
        "counted as a failure"
    );
    let now = NOW + lease + 1_000;
    let call = other.tick(now, &mut map).unwrap();
    other.answer(&call, good("good 2"), now, &mut map);
    // The dead one was only slow: its answer is older than what is published.
    dead.answer(&call, good("good 1"), now, &mut map);
    assert_eq!(dead.notes, [Note::Superseded]);
    assert_eq!(dead.adopted(), None);
    dead.tick(now, &mut map);
    assert_eq!(dead.adopted(), Some((1, "good 2")));
}

#[test]
fn a_wish_waits_for_the_lease_though_the_cool_down_is_over() {
    let slow = || SourceSpec {
        timeout_ms: 20_000,
        ..spec()
    };
    let mut map = Map::default();
    let mut first = Worker::new(slow());
    let mut second = Worker::new(slow());
    let call = first.tick(NOW, &mut map).unwrap();
    let now = NOW + COOL_DOWN_MS;
    assert!(second.on(Event::Wanted, now, &mut map).is_none());
    assert!(second.fetch().may_ask(now), "what is under way may help");
    first.answer(&call, good("good 1"), NOW + 19_000, &mut map);
    second.tick(NOW + 19_000, &mut map);
    assert_eq!(second.adopted(), Some((1, "good 1")));
}

#[test]
fn a_call_without_an_answer_is_given_up_with_its_lease() {
    let mut map = Map::default();
    let mut worker = Worker::new(spec());
    let call = worker.tick(NOW, &mut map).unwrap();
    let lease = source().lease_ms();
    worker.tick(NOW + lease, &mut map);
    assert_eq!(worker.notes, [Note::Failed(Failure::Unanswered)]);
    assert_eq!(worker.fetch().tried_at(), Some(NOW + lease));
    worker.answer(&call, good("good late"), NOW + lease, &mut map);
    assert_eq!(worker.adopted(), None, "late");
    assert!(
        worker.tick(NOW + lease + 1_000, &mut map).is_some(),
        "again, after the back-off"
    );
}

#[test]
fn a_map_that_does_not_answer_stops_the_fetching_and_nothing_else() {
    let mut map = Map::default();
    let mut worker = Worker::new(spec());
    let call = worker.tick(NOW, &mut map).unwrap();
    worker.answer(&call, good("good 1"), NOW, &mut map);
    map.silent = true;
    let mut now = NOW;
    while now < NOW + 120_000 {
        assert!(worker.tick(now, &mut map).is_none());
        now += TICK;
    }
    assert_eq!(worker.fetch().standing(now), Standing::Good);
    assert_eq!(
        worker.notes[1..],
        [Note::MapSilent, Note::MapSilent],
        "once a minute"
    );
    assert_eq!(worker.fetch().standing(NOW + 3_600_000), Standing::Expired);
    map.silent = false;
    assert!(worker.tick(now, &mut map).is_some());
}

#[test]
fn what_somebody_else_wrote_under_our_keys_is_written_anew() {
    let source = source();
    for (why, key, value) in [
        (
            "a state that cannot be read",
            source.state_key(),
            b"?".to_vec(),
        ),
        (
            "a document that cannot be read",
            source.document_key(),
            b"?".to_vec(),
        ),
        (
            "a document that is not good",
            source.document_key(),
            Entry {
                generation: 9,
                bytes: b"bad",
            }
            .encode(),
        ),
        (
            "a document of an older generation",
            source.document_key(),
            Entry {
                generation: 0,
                bytes: b"good 0",
            }
            .encode(),
        ),
        (
            "the next document under an older generation",
            source.document_key(),
            Entry {
                generation: 0,
                bytes: b"good 2",
            }
            .encode(),
        ),
    ] {
        let mut map = Map::default();
        let mut worker = Worker::new(spec());
        let call = worker.tick(NOW, &mut map).unwrap();
        worker.answer(&call, good("good 1"), NOW, &mut map);
        let told = map.answer(Ask::Read { key: key.clone() });
        let Told::Value(Some((_, cas))) = told else {
            panic!("{told:?}")
        };
        map.answer(Ask::Swap { key, value, cas });
        let mut fresh = Worker::new(spec());
        let mut now = NOW + 1_000;
        let mut call = None;
        while call.is_none() && now < NOW + COOL_DOWN_MS + TICK {
            call = fresh.tick(now, &mut map);
            now += TICK;
        }
        fresh.answer(&call.expect(why), good("good 2"), now, &mut map);
        worker.tick(now, &mut map);
        assert_eq!(
            worker.adopted().map(|(_, text)| text),
            Some("good 2"),
            "{why}"
        );
        assert_eq!(
            worker.adopted,
            [worker.adopted[0].clone(), fresh.adopted[0].clone()],
            "{why}"
        );
        assert!(fresh.notes.len() <= 2, "{why}: {:?}", fresh.notes);
    }
}

#[test]
fn every_note_is_one_line_of_our_own_words() {
    for (note, expected) in [
        (Note::Renewed(3), "a new document is in use, generation 3"),
        (
            Note::Unchanged(3),
            "the document is still that of generation 3",
        ),
        (
            Note::Failed(Failure::NotCalled),
            "not fetched: the gateway has no cluster of this name, or it has no endpoint; a document from before stays",
        ),
        (
            Note::Failed(Failure::Status(302)),
            "not fetched: status 302, and only 200 is an answer; a document from before stays",
        ),
        (
            Note::Failed(Failure::TooLarge),
            "not fetched: the answer is larger than 524288 bytes; a document from before stays",
        ),
        (
            Note::Failed(Failure::Discovery("it is not strict JSON")),
            "not fetched: discovery: it is not strict JSON; a document from before stays",
        ),
        (
            Note::MapSilent,
            "shared data does not answer: nothing is fetched",
        ),
    ] {
        assert_eq!(note.to_string(), expected);
    }
    assert_eq!(format!("{:?}", good("planted")), "Answer(200, 7 bytes)");
}
