//! A worker and the map that it shares, for the tests.

use std::collections::BTreeMap;

use super::LUCK;
use crate::fetch::{Answer, Call, Document, Effect, Event, Fetch, Note, Source, SourceSpec};
use crate::store::{Ask, Cas, Told};

/// A document is good when it begins with `good`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(String);

impl Document for Text {
    fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        match std::str::from_utf8(bytes) {
            Ok(text) if text.starts_with("good") => Ok(Self(text.into())),
            _ => Err("it is not good"),
        }
    }
}

/// The map, with the gateway's rules.
#[derive(Default)]
pub(super) struct Map {
    pub(super) values: BTreeMap<String, (Vec<u8>, u32)>,
    last: u32,
    pub(super) silent: bool,
}

impl Map {
    pub(super) fn answer(&mut self, ask: Ask) -> Told {
        if self.silent {
            return Told::Unavailable;
        }
        match ask {
            Ask::Read { key } => Told::Value(
                self.values
                    .get(&key)
                    .map(|(value, mark)| (value.clone(), Cas::of(*mark).unwrap())),
            ),
            Ask::Swap { key, value, cas } => {
                if let Some((_, mark)) = self.values.get(&key)
                    && *mark != cas.mark()
                {
                    return Told::Conflict;
                }
                self.last += 1;
                self.values.insert(key, (value, self.last));
                Told::Swapped
            }
        }
    }
}

/// A worker whose map answers at once, as the gateway's does.
pub(super) struct Worker {
    fetch: Option<Fetch<Text>>,
    pub(super) adopted: Vec<(u64, String)>,
    pub(super) notes: Vec<Note>,
}

impl Worker {
    pub(super) fn new(spec: SourceSpec) -> Self {
        Self {
            fetch: Some(Fetch::new(Source::new(spec).unwrap())),
            adopted: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(super) fn fetch(&self) -> &Fetch<Text> {
        self.fetch.as_ref().unwrap()
    }

    /// Takes an event and all that follows from it in the same callback; gives the call that it makes.
    pub(super) fn on(&mut self, event: Event, now: u64, map: &mut Map) -> Option<Call> {
        let mut events = vec![event];
        let mut made = None;
        while let Some(event) = events.pop() {
            let (fetch, effects) = self.fetch.take().unwrap().on(event, now, LUCK);
            self.fetch = Some(fetch);
            for effect in effects {
                match effect {
                    Effect::Ask(ask) => events.push(Event::Told(map.answer(ask))),
                    Effect::Call(call) => assert!(made.replace(call).is_none(), "one call"),
                    Effect::Adopt {
                        generation,
                        document,
                    } => self.adopted.push((generation, document.0)),
                    Effect::Note(note) => self.notes.push(note),
                }
            }
        }
        made
    }

    pub(super) fn tick(&mut self, now: u64, map: &mut Map) -> Option<Call> {
        self.on(Event::Tick, now, map)
    }

    pub(super) fn answer(
        &mut self,
        call: &Call,
        answer: Answer,
        now: u64,
        map: &mut Map,
    ) -> Option<Call> {
        let number = call.number;
        self.on(Event::Answered { number, answer }, now, map)
    }

    pub(super) fn adopted(&self) -> Option<(u64, &str)> {
        self.adopted
            .last()
            .map(|(generation, text)| (*generation, text.as_str()))
    }
}

pub(super) fn good(body: &str) -> Answer {
    Answer {
        status: 200,
        cache_control: None,
        age: None,
        body: body.as_bytes().to_vec(),
    }
}

pub(super) fn status(status: u16) -> Answer {
    Answer {
        status,
        ..good("good, if the status were")
    }
}
