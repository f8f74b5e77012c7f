//! Ordinary requests, in any chunking and with any end.

use super::{Books, Gateway, NOW};
use postern_core::policy::HeadHold;
use postern_core::stream::{Ended, Event, Stream};
use proptest::prelude::*;

/// How a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    WithLastByte,
    Empty,
    Trailers,
    /// The host knows the length and never says that it is the end.
    LengthOnly,
}

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) mode: HeadHold,
    pub(crate) body: Vec<u8>,
    pub(crate) length: bool,
    pub(crate) end: End,
}

impl Request {
    /// Sends it. `meanwhile` is what else happens after each report, of which the first (0) is the head.
    pub(crate) fn send(
        &self,
        more: &[(&str, &str)],
        cuts: &[usize],
        host: &mut Gateway,
        mut meanwhile: impl FnMut(usize, Stream, &mut Books, &mut Gateway) -> Stream,
    ) -> Books {
        let length = self.body.len().to_string();
        let mut pairs: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"POST"),
            (b":path", b"/v1/chat/completions"),
            (b":authority", b"api"),
            (b":scheme", b"https"),
            (b"content-type", b"application/json"),
        ];
        pairs.extend(
            more.iter()
                .map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        );
        if self.length || self.end == End::LengthOnly {
            pairs.push((b"content-length", length.as_bytes()));
        }
        let mut books = Books::default();
        let stream = books.begin(&pairs, false, host);
        let mut stream = meanwhile(0, stream, &mut books, host);
        let parts = self.parts(cuts);
        for (index, (chunk, end)) in parts.iter().enumerate() {
            let event = match (self.end, end) {
                (End::Trailers, true) => Event::RequestTrailers { pairs: &[] },
                (_, end) => Event::RequestBody { chunk, end: *end },
            };
            stream = books.report(stream, event, NOW, host);
            stream = meanwhile(index + 1, stream, &mut books, host);
        }
        let _ = books.report(stream, Event::Log(Ended::default()), NOW, host);
        books
    }

    /// How many reports of the body there are with these cuts.
    pub(crate) fn reports(&self, cuts: &[usize]) -> usize {
        self.parts(cuts).len()
    }

    fn parts(&self, cuts: &[usize]) -> Vec<(&[u8], bool)> {
        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut % (self.body.len() + 1)).collect();
        edges.extend([0, self.body.len()]);
        edges.sort_unstable();
        let mut parts: Vec<(&[u8], bool)> = edges
            .windows(2)
            .map(|edge| (&self.body[edge[0]..edge[1]], false))
            .collect();
        match self.end {
            End::WithLastByte => parts.last_mut().unwrap().1 = true,
            End::Empty | End::Trailers => parts.push((&[], true)),
            End::LengthOnly => {}
        }
        parts
    }
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let good = |fill: usize, first: bool, model: &str| {
        let messages = format!(
            r#""messages":[{{"role":"user","content":"{}"}}]"#,
            "é".repeat(fill)
        );
        let model = format!(r#""model":"{model}""#);
        if first {
            format!("{{{model},{messages}}}")
        } else {
            format!("{{{messages},{model}}}")
        }
        .into_bytes()
    };
    prop_oneof![
        4 => (0..40usize, any::<bool>()).prop_map(move |(fill, first)| good(fill, first, "gpt-4o")),
        1 => (0..40usize, any::<bool>()).prop_map(move |(fill, first)| good(fill, first, "secret-1")),
        2 => (0..40usize, any::<prop::sample::Index>())
            .prop_map(move |(fill, at)| { let mut body = good(fill, true, "gpt-4o"); let at = at.index(body.len()); body.truncate(at); body }),
        2 => (0..40usize, any::<prop::sample::Index>(), any::<u8>())
            .prop_map(move |(fill, at, byte)| { let mut body = good(fill, true, "gpt-4o"); let at = at.index(body.len()); body[at] = byte; body }),
        1 => Just(br#"{"model":"gpt-4o","x":1,"model":"gpt-4o"}"#.to_vec()),
        1 => (2040..2060usize).prop_map(move |fill| good(fill, true, "gpt-4o")),
        1 => Just(Vec::new()),
    ]
}

pub(crate) fn modes() -> impl Strategy<Value = HeadHold> {
    prop_oneof![
        Just(HeadHold::Flag),
        Just(HeadHold::Buffer),
        Just(HeadHold::None)
    ]
}

pub(crate) fn requests() -> impl Strategy<Value = Request> {
    let ends = prop_oneof![
        Just(End::WithLastByte),
        Just(End::Empty),
        Just(End::Trailers),
        Just(End::LengthOnly)
    ];
    (modes(), bodies(), any::<bool>(), ends).prop_map(|(mode, body, length, end)| Request {
        mode,
        body,
        length,
        end,
    })
}

/// What must not depend on the chunking, nor on when keys come.
pub(crate) fn outcome(books: &Books) -> String {
    let record = &books.records[0];
    format!(
        "{:?} {:?} {:?} {:?} {:?} caller {:?} end {} answer {:?}",
        record.decision,
        record.refusal,
        record.rule,
        record.model,
        record.request.digest,
        record
            .caller
            .as_ref()
            .map(|caller| (&caller.name, &caller.subject)),
        books.end_passed,
        books.answer.as_ref().map(|answer| (
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned()
        )),
    )
}
