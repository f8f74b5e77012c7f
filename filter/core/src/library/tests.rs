#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]
use super::*;
use crate::fetch::{Answer, SourceSpec};
use crate::store::{Cas, Told};
use crate::token::signing;
use std::collections::{BTreeMap, VecDeque};

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: u64 = 1_800_000_000_000;
const KEYS: Shelf = Shelf(0);
const LIST: Shelf = Shelf(1);
const NONE: Shelf = Shelf(2);

fn library() -> Library {
    let source = |kind, path: &str| {
        Source::new(SourceSpec {
            cluster: "idp".into(),
            authority: "idp".into(),
            path: path.into(),
            refresh_ms: 60_000,
            timeout_ms: 1_000,
            max_stale_ms: 600_000,
            kind,
        })
        .unwrap()
    };
    Library::new(&[
        source(Kind::Keys, "/keys"),
        source(Kind::Revocation, "/list"),
    ])
}

/// A worker that is alone, so that its map never refuses a swap. Every call is answered with `answer`; gives how many.
fn fill(library: &mut Library, shelf: Shelf, event: Event, now: u64, answer: (u16, &str)) -> usize {
    let mut map: BTreeMap<String, (Vec<u8>, u32)> = BTreeMap::new();
    let mut events = VecDeque::from([event]);
    let mut calls = 0;
    while let Some(event) = events.pop_front() {
        for errand in library.on(shelf, event, now, 7) {
            match errand {
                Errand::Ask(Ask::Read { key }) => {
                    let value = map.get(&key).cloned();
                    let value = value.map(|(value, mark)| (value, Cas::of(mark).unwrap()));
                    events.push_back(Event::Told(Told::Value(value)));
                }
                Errand::Ask(Ask::Swap { key, value, .. }) => {
                    map.insert(key, (value, 1));
                    events.push_back(Event::Told(Told::Swapped));
                }
                Errand::Call(call) => {
                    calls += 1;
                    let (status, body) = answer;
                    let answer = Answer {
                        status,
                        cache_control: None,
                        age: None,
                        body: body.as_bytes().to_vec(),
                    };
                    let number = call.number;
                    events.push_back(Event::Answered { number, answer });
                }
                Errand::Note(_) | Errand::Remark(_) => {}
            }
        }
    }
    calls
}

#[test]
fn a_shelf_holds_its_own_kind_and_nothing_else() {
    let mut library = library();
    assert_eq!(library.shelves().collect::<Vec<_>>(), [KEYS, LIST]);
    assert_eq!(library.source(LIST).map(Source::path), Some("/list"));
    assert!(library.source(NONE).is_none());
    assert_eq!(
        fill(
            &mut library,
            KEYS,
            Event::Tick,
            NOW,
            (200, &signing::jwks(&["ed-1"]))
        ),
        1
    );
    assert_eq!(fill(&mut library, LIST, Event::Tick, NOW, (200, "{}")), 1);
    assert_eq!(fill(&mut library, NONE, Event::Tick, NOW, (200, "{}")), 0);
    assert!(library.keys(KEYS, NOW).is_ok());
    assert!(library.revocation(LIST, NOW).is_ok());
    for (shelf, why) in [(LIST, "a list holds no keys"), (NONE, "no such shelf")] {
        assert_eq!(
            library.keys(shelf, NOW).err(),
            Some(Missing::Never),
            "{why}"
        );
    }
    for (shelf, why) in [(KEYS, "keys are no list"), (NONE, "no such shelf")] {
        assert_eq!(
            library.revocation(shelf, NOW).err(),
            Some(Missing::Never),
            "{why}"
        );
    }
    assert_eq!(library.generation(NONE), 0);
    assert!(!library.is_filling(NONE, NOW), "nothing will come");
}

#[test]
fn a_document_is_used_in_its_time() {
    let mut library = library();
    assert_eq!(library.keys(KEYS, NOW).err(), Some(Missing::Never));
    assert!(library.is_filling(KEYS, NOW), "it could come");
    let set = signing::jwks(&["ed-1"]);
    fill(&mut library, KEYS, Event::Tick, NOW, (200, &set));
    assert!(library.keys(KEYS, NOW + 599_999).is_ok());
    assert_eq!(
        library.keys(KEYS, NOW + 600_001).err(),
        Some(Missing::Expired),
        "and never after it"
    );
}

/// What waits is asked again when a shelf was filled, and when that was tried in vain: else it would wait to its deadline.
#[test]
fn progress_is_what_was_filled_and_what_was_tried() {
    let mut library = library();
    let start = library.progress();
    assert_eq!(start, [(0, None), (0, None)]);
    for (why, answer) in [
        ("an error", (500, "")),
        ("no keys", (200, r#"{"keys":[]}"#)),
        ("no JSON", (200, "<html>")),
    ] {
        let mut library = self::library();
        fill(&mut library, KEYS, Event::Tick, NOW, answer);
        assert_ne!(library.progress(), start, "{why}: tried");
        assert_eq!(library.generation(KEYS), 0, "{why}: and not filled");
        assert!(library.keys(KEYS, NOW).is_err(), "{why}");
        assert!(!library.is_filling(KEYS, NOW), "{why}: not at once again");
    }
    fill(
        &mut library,
        KEYS,
        Event::Tick,
        NOW,
        (200, &signing::jwks(&["ed-1"])),
    );
    assert_eq!(library.progress(), [(1, Some(NOW)), (0, None)], "filled");
}

#[test]
fn keys_that_are_passed_over_are_told_without_a_word_of_the_provider() {
    let weak = r#"{"kty":"RSA","kid":"planted-id","n":"AQAB","e":"AQAB"}"#;
    let set = signing::jwks(&["ec-1"]).replacen("[", &format!("[{weak},"), 1);
    let read = Published::read(set.as_bytes()).unwrap();
    let remark = read.remark().unwrap();
    assert!(remark.starts_with("passed over: keys[0]: "), "{remark}");
    assert!(!remark.contains("planted"), "{remark}");
    let good = Published::read(signing::jwks(&["ec-1"]).as_bytes()).unwrap();
    assert_eq!(good.remark(), None);
}
