//! What always holds of the workers that share a source, whatever happens in whatever order (the promises of `fetch`).
//!
//! A small gateway keeps the books: a map with the gateway's rules, workers whose questions to it are answered one at a time
//! and in any interleaving, workers that die and begin anew at any point, answers that are good, bad, late or never come, a map
//! that does not answer, a clock that is set.
#![cfg(not(target_family = "wasm"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

use std::collections::BTreeMap;

use postern_core::fetch::{
    Answer, Call, Document, Effect, Event, Fetch, Kind, Note, Source, SourceSpec, Standing,
};
use postern_core::store::{Ask, Cas, Told};
use proptest::prelude::*;

const NOW: u64 = 1_795_320_263_000;
const TICK: u64 = 250;
const WORKERS: usize = 4;
const ISSUER: &str = "https://idp";

/// A document is good when it begins with `good`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Text(String);

impl Document for Text {
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with("good") => Ok(Self(text.into())),
            _ => Err("it is not good"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// A worker ticks.
    Tick(usize),
    /// A worker is asked for something that is missing.
    Want(usize),
    /// The map answers the oldest question of a worker.
    Map(usize),
    /// The map answers all questions of a worker, one after the other, as the gateway does.
    Callback(usize),
    /// The map does not answer the oldest question of a worker.
    Silence(usize),
    /// A call of a worker is answered.
    Answer(usize, Reply),
    /// A call of a worker is never answered.
    Lose(usize),
    /// A worker dies and begins anew; its call is still under way at the source.
    Die(usize),
    /// Time passes.
    Pass(u64),
    /// The clock is set.
    Set(i64),
}

#[derive(Debug, Clone, Copy)]
enum Reply {
    Good,
    Same,
    Poisoned,
    Status(u16),
    Elsewhere,
}

struct Worker {
    fetch: Option<Fetch<Text>>,
    asked: Vec<Ask>,
    call: Option<Call>,
    held: Option<(u64, String)>,
    notes: usize,
}

/// A call that nobody has answered.
struct UnderWay {
    worker: usize,
    number: u64,
    lease_until: u64,
}

struct Gateway {
    source: Source,
    now: u64,
    clock_was_set: bool,
    map: BTreeMap<String, (Vec<u8>, u32)>,
    marks: u32,
    workers: Vec<Worker>,
    under_way: Vec<UnderWay>,
    /// What the source serves.
    served: u64,
    /// Which document each generation is.
    documents: BTreeMap<u64, String>,
    attempts: usize,
}

/// WHY slow ones too: of a quick one the lease ends before the cool-down does, and so is never what holds the others back.
fn source(discovery: bool, slow: bool) -> Source {
    let kind = if discovery {
        Kind::Discovery {
            issuer: ISSUER.into(),
            keys_cluster: None,
            keys_authority: None,
        }
    } else {
        Kind::Keys
    };
    Source::new(SourceSpec {
        cluster: "idp".into(),
        authority: "idp".into(),
        path: "/document".into(),
        refresh_ms: 32_000,
        timeout_ms: if slow { 15_000 } else { 1_000 },
        max_stale_ms: 120_000,
        kind,
    })
    .unwrap()
}

impl Worker {
    fn new(source: &Source) -> Self {
        Self {
            fetch: Some(Fetch::new(source.clone())),
            asked: Vec::new(),
            call: None,
            held: None,
            notes: 0,
        }
    }

    fn fetch(&self) -> &Fetch<Text> {
        self.fetch.as_ref().unwrap()
    }
}

impl Gateway {
    fn new(source: Source) -> Self {
        Self {
            now: NOW,
            clock_was_set: false,
            map: BTreeMap::new(),
            marks: 0,
            workers: (0..WORKERS).map(|_| Worker::new(&source)).collect(),
            under_way: Vec::new(),
            served: 0,
            documents: BTreeMap::new(),
            attempts: 0,
            source,
        }
    }

    fn on(&mut self, index: usize, event: Event) {
        let begins = !matches!(event, Event::Answered { .. });
        let state = self.state();
        let worker = &mut self.workers[index];
        let luck = (self.now as u32).wrapping_mul(2_654_435_761);
        let (fetch, effects) = worker.fetch.take().unwrap().on(event, self.now, luck);
        worker.fetch = Some(fetch);
        for effect in effects {
            match effect {
                Effect::Ask(ask) => worker.asked.push(ask),
                Effect::Call(call) => {
                    self.attempts += usize::from(begins);
                    // Single flight: no other call of which the lease runs, and a lease for this one.
                    let lease_until = state[3];
                    let others = self
                        .under_way
                        .iter()
                        .filter(|call| self.now < call.lease_until)
                        .count();
                    if !self.clock_was_set {
                        assert_eq!(others, 0, "a second call in a lease");
                        assert!(self.now < lease_until, "a call without a lease");
                    }
                    self.under_way.push(UnderWay {
                        worker: index,
                        number: call.number,
                        lease_until,
                    });
                    assert!(worker.call.is_none() || begins);
                    worker.call = Some(call);
                }
                Effect::Adopt {
                    generation,
                    document: Text(text),
                } => {
                    if let Some((held, _)) = &worker.held {
                        assert!(*held < generation, "a way back from {held} to {generation}");
                    }
                    assert!(text.starts_with("good"), "only what was found good");
                    let known = self.documents.entry(generation).or_insert(text.clone());
                    assert_eq!(*known, text, "one generation, one document");
                    worker.held = Some((generation, text));
                }
                Effect::Note(note) => {
                    worker.notes += usize::from(note != Note::MapSilent);
                    assert!(
                        !matches!(note, Note::Unusable(_)),
                        "nobody else writes under our keys"
                    );
                }
            }
        }
        assert!(worker.asked.len() <= 1, "one question at a time");
        if let Some((_, text)) = &worker.held {
            assert!(text.starts_with("good"));
            assert_ne!(worker.fetch().standing(self.now), Standing::Never);
        }
    }

    fn answer_map(&mut self, index: usize) -> bool {
        let Some(ask) = self.workers[index].asked.pop() else {
            return false;
        };
        let told = match ask {
            Ask::Read { key } => Told::Value(
                self.map
                    .get(&key)
                    .map(|(value, mark)| (value.clone(), Cas::of(*mark).unwrap())),
            ),
            Ask::Swap { key, value, cas } => match self.map.get(&key) {
                Some((_, mark)) if *mark != cas.mark() => Told::Conflict,
                Some(_) | None => {
                    self.marks += 1;
                    if key == self.source.document_key() {
                        self.check_document(&value);
                    }
                    self.map.insert(key, (value, self.marks));
                    Told::Swapped
                }
            },
        };
        self.on(index, Event::Told(told));
        true
    }

    /// No way back in the map either, and no generation with two documents, adopted or not.
    fn check_document(&mut self, value: &[u8]) {
        let generation = |value: &[u8]| u64::from_be_bytes(value[1..9].try_into().unwrap());
        let written = generation(value);
        if let Some((before, _)) = self.map.get(&self.source.document_key()) {
            assert!(
                generation(before) <= written,
                "an older document is written"
            );
        }
        let text = String::from_utf8(value[9..].to_vec()).unwrap();
        let known = self.documents.entry(written).or_insert(text.clone());
        assert_eq!(*known, text, "one generation, one document");
    }

    fn callback(&mut self, index: usize) {
        let mut steps = 0;
        while self.answer_map(index) {
            steps += 1;
            assert!(steps < 40, "a callback ends");
        }
    }

    fn answer_call(&mut self, index: usize, reply: Reply) {
        let Some(call) = self.workers[index].call.take() else {
            return;
        };
        self.under_way
            .retain(|other| other.worker != index || other.number != call.number);
        let is_discovery =
            matches!(self.source.kind(), Kind::Discovery { .. }) && call.path == "/document";
        let body = match reply {
            Reply::Good | Reply::Same | Reply::Elsewhere if is_discovery => {
                let host = match reply {
                    Reply::Elsewhere => "evil",
                    _ => "idp",
                };
                format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"https://{host}/keys"}}"#)
            }
            Reply::Good => {
                self.served += 1;
                format!("good {}", self.served)
            }
            Reply::Same => format!("good {}", self.served),
            Reply::Poisoned | Reply::Elsewhere => "poisoned".into(),
            Reply::Status(_) => format!("good, if the status were {}", self.served),
        };
        let status = match reply {
            Reply::Status(status) => status,
            Reply::Good | Reply::Same | Reply::Poisoned | Reply::Elsewhere => 200,
        };
        let answer = Answer {
            status,
            cache_control: None,
            age: None,
            body: body.into_bytes(),
        };
        let number = call.number;
        self.on(index, Event::Answered { number, answer });
    }

    fn play(&mut self, step: Move) {
        match step {
            Move::Tick(index) => self.on(index, Event::Tick),
            Move::Want(index) => self.on(index, Event::Wanted),
            Move::Map(index) => {
                self.answer_map(index);
            }
            Move::Callback(index) => self.callback(index),
            Move::Silence(index) => {
                if self.workers[index].asked.pop().is_some() {
                    self.on(index, Event::Told(Told::Unavailable));
                }
            }
            Move::Answer(index, reply) => self.answer_call(index, reply),
            Move::Lose(index) => {
                self.workers[index].call = None;
            }
            Move::Die(index) => {
                self.workers[index] = Worker::new(&self.source);
                // What is still under way can no longer be told from the calls of the new one.
                for call in &mut self.under_way {
                    if call.worker == index {
                        call.worker = usize::MAX;
                    }
                }
            }
            Move::Pass(by) => self.now += by,
            Move::Set(by) => {
                self.clock_was_set = true;
                self.now = self.now.saturating_add_signed(by);
            }
        }
    }

    /// The numbers of the state, in the order of its layout: the generation first, the end of the lease fourth.
    fn state(&self) -> [u64; 8] {
        let Some((state, _)) = self.map.get(&self.source.state_key()) else {
            return [0; 8];
        };
        std::array::from_fn(|at| {
            u64::from_be_bytes(state[1 + 8 * at..9 + 8 * at].try_into().unwrap())
        })
    }

    /// One quiet tick of everybody.
    fn tick_all(&mut self) {
        for index in 0..WORKERS {
            self.on(index, Event::Tick);
            self.callback(index);
        }
    }
}

fn moves(with_clock: bool) -> impl Strategy<Value = Move> {
    let worker = 0..WORKERS;
    let reply = prop_oneof![
        4 => Just(Reply::Good),
        2 => Just(Reply::Same),
        1 => Just(Reply::Poisoned),
        1 => prop_oneof![Just(503u16), Just(504), Just(302), Just(304), Just(206)].prop_map(Reply::Status),
        1 => Just(Reply::Elsewhere),
    ];
    prop_oneof![
        10 => worker.clone().prop_map(Move::Tick),
        3 => worker.clone().prop_map(Move::Want),
        12 => worker.clone().prop_map(Move::Map),
        6 => worker.clone().prop_map(Move::Callback),
        1 => worker.clone().prop_map(Move::Silence),
        8 => (worker.clone(), reply).prop_map(|(worker, reply)| Move::Answer(worker, reply)),
        1 => worker.clone().prop_map(Move::Lose),
        1 => worker.prop_map(Move::Die),
        4 => prop_oneof![Just(1u64), Just(TICK), 1u64..5_000, Just(10_000), Just(20_000)].prop_map(Move::Pass),
        if with_clock { 1 } else { 0 } => prop_oneof![
            Just(-5i64),
            -4_000i64..4_000,
            Just(-3_600_000),
            Just(3_600_000),
        ].prop_map(Move::Set),
    ]
}

/// Plays the moves, then lets everything come to rest, and gives the gateway.
fn play(source: Source, moves: &[Move]) -> Gateway {
    let mut gateway = Gateway::new(source);
    for step in moves {
        gateway.play(*step);
    }
    // What is open is ended.
    for index in 0..WORKERS {
        gateway.callback(index);
        for _ in 0..2 {
            gateway.answer_call(index, Reply::Status(504));
            gateway.callback(index);
        }
    }
    gateway
}

fn check(source: Source, moves: &[Move]) -> Result<(), TestCaseError> {
    let mut gateway = play(source, moves);

    // All follow: whatever was published, everybody has it with the next tick, or something newer.
    let published = gateway.state()[0];
    // A worker that waits for an answer which never comes waits until its lease ends, and others may have begun before that only
    // because the clock was set.
    if gateway.clock_was_set {
        gateway.now += 2 * gateway.source.lease_ms();
    }
    gateway.tick_all();
    for worker in &gateway.workers {
        let held = worker
            .held
            .as_ref()
            .map_or(0, |(generation, _)| *generation);
        prop_assert!(held >= published, "{held} held, {published} published");
    }

    // No lease and no back-off is for ever: once the source is well again, everybody has what it serves.
    gateway.served += 1;
    let newest = format!("good {}", gateway.served);
    for _ in 0..150 {
        gateway.now += 4 * TICK;
        gateway.tick_all();
        for index in 0..WORKERS {
            for _ in 0..2 {
                gateway.answer_call(index, Reply::Same);
                gateway.callback(index);
            }
        }
    }
    for worker in &gateway.workers {
        let held = worker.held.as_ref().map(|(_, text)| text.as_str());
        prop_assert_eq!(held, Some(newest.as_str()));
        prop_assert_eq!(worker.fetch().standing(gateway.now), Standing::Good);
    }

    // One note for each attempt, and one more for a lease that was lost.
    let notes: usize = gateway.workers.iter().map(|worker| worker.notes).sum();
    prop_assert!(
        notes <= 2 * gateway.attempts,
        "{notes} notes, {} attempts",
        gateway.attempts
    );
    prop_assert_eq!(gateway.map.len(), 2, "two keys, ever");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn workers_agree_in_any_interleaving(
        discovery: bool,
        slow: bool,
        moves in proptest::collection::vec(moves(false), 0..200),
    ) {
        check(source(discovery, slow), &moves)?;
    }

    #[test]
    fn workers_agree_though_the_clock_is_set(
        discovery: bool,
        slow: bool,
        moves in proptest::collection::vec(moves(true), 0..200),
    ) {
        check(source(discovery, slow), &moves)?;
    }

    #[test]
    fn any_event_in_any_phase_is_taken(
        events in proptest::collection::vec((0u8..9, any::<u64>(), proptest::collection::vec(any::<u8>(), 0..80)), 0..40),
    ) {
        let mut fetch: Fetch<Text> = Fetch::new(source(true, false));
        for (kind, number, bytes) in events {
            let event = match kind {
                0 => Event::Tick,
                1 => Event::Wanted,
                2 => Event::Told(Told::Value(None)),
                3 => Event::Told(Told::Value(Some((bytes, Cas::of(7).unwrap())))),
                4 => Event::Told(Told::Swapped),
                5 => Event::Told(Told::Conflict),
                6 => Event::Told(Told::Unavailable),
                _ => Event::Answered {
                    number: number % 4,
                    answer: Answer {
                        status: if kind == 7 { 200 } else { 503 },
                        cache_control: Some(bytes.clone()),
                        age: Some(bytes.clone()),
                        body: [b"good".as_slice(), &bytes].concat(),
                    },
                },
            };
            let (next, effects) = fetch.on(event, number, number as u32);
            prop_assert!(effects.len() <= 2);
            let _ = (next.standing(number), next.may_ask(number), next.tried_at());
            fetch = next;
        }
    }
}
