//! The way of an answer past the module to the client: what is shown, what is buffered, what a Continue releases.

use std::sync::Arc;

use super::{CONTINUE, named, status};
use crate::host::state::{Iteration, Map, StreamId};
use crate::host::vm::Vm;
use crate::host::wire::Pair;
use crate::scenario::Answer;

impl Vm {
    /// The head of upstream's answer.
    pub fn respond(&mut self, id: StreamId, headers: Vec<Pair>, end: bool) {
        if let Some(stream) = self.live(id) {
            stream.facts.details = Some("via_upstream".to_owned());
            self.encode_head(id, headers, end);
        }
    }

    /// The head of an answer on its way to the client.
    pub(in crate::host) fn encode_head(&mut self, id: StreamId, headers: Vec<Pair>, end: bool) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.response.headers = Map {
            pairs: headers,
            visible: true,
        };
        stream.response.ended = end;
        stream.facts.status = stream.response.headers.first(":status").and_then(status);
        let many = i32::try_from(stream.response.headers.pairs.len()).unwrap_or(i32::MAX);
        let calls = Arc::clone(&self.callbacks);
        let said = self.call_stopped(
            id,
            calls.proxy_on_response_headers.as_ref(),
            (id.cast_signed(), many, i32::from(end)),
        );
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        if !said.is_none_or(|(said, stopped)| said == CONTINUE && !stopped) {
            stream.response.iteration = Iteration::StoppedAll;
            return;
        }
        stream.response.headers.visible = false;
        self.deliver_head(id, end);
    }

    /// Bytes of an answer on their way to the client.
    pub fn encode_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.response.ended |= end;
        if stream.response.iteration == Iteration::StoppedAll {
            stream.response.hold(bytes);
            return;
        }
        if stream.response.cumulative {
            stream.response.hold(bytes);
        }
        stream.response.chunk = Some(if stream.response.cumulative {
            Vec::new()
        } else {
            bytes.to_vec()
        });
        let size = stream.response.body().map_or(0, |body| body.len());
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let calls = Arc::clone(&self.callbacks);
        let said = self.call_stopped(
            id,
            calls.proxy_on_response_body.as_ref(),
            (id.cast_signed(), size, i32::from(end)),
        );
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let chunk = stream.response.chunk.take().unwrap_or_default();
        if !said.is_none_or(|(said, stopped)| said == CONTINUE && !stopped) {
            stream.response.cumulative = true;
            stream.response.iteration = Iteration::Stopped;
            stream.response.hold(&chunk);
            return;
        }
        stream.response.cumulative = false;
        stream.response.iteration = Iteration::Flowing;
        let mut out = stream.response.held.take().unwrap_or_default();
        out.extend_from_slice(&chunk);
        self.deliver_data(id, &out, end);
    }

    /// Trailers of an answer.
    pub fn encode_trailers(&mut self, id: StreamId, trailers: Vec<Pair>) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.response.ended = true;
        let many = i32::try_from(trailers.len()).unwrap_or(i32::MAX);
        stream.response.trailers = Some(Map {
            pairs: trailers,
            visible: true,
        });
        let calls = Arc::clone(&self.callbacks);
        let said = self.call_stopped(
            id,
            calls.proxy_on_response_trailers.as_ref(),
            (id.cast_signed(), many),
        );
        if said.is_none_or(|(said, stopped)| said == CONTINUE && !stopped) {
            self.resume_response(id);
        }
    }

    /// `continue_stream(response)`, and the end of trailers.
    pub(in crate::host) fn resume_response(&mut self, id: StreamId) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.response.iteration = Iteration::Flowing;
        let ended = stream.response.ended;
        let begun = stream.answer.is_some();
        let held = stream.response.held.take();
        let trailers = stream
            .response
            .trailers
            .as_ref()
            .map(|map| map.pairs.clone());
        if !begun {
            self.deliver_head(id, ended && held.is_none() && trailers.is_none());
        }
        if let Some(held) = held {
            self.deliver_data(id, &held, ended && trailers.is_none());
        }
        let Some(trailers) = trailers else { return };
        if let Some(answer) = self
            .stream_mut(id)
            .and_then(|stream| stream.answer.as_mut())
        {
            answer.trailers = named(trailers);
        }
        self.delivered(id);
    }

    fn deliver_head(&mut self, id: StreamId, end: bool) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        let pairs = stream.response.headers.pairs.clone();
        let status = stream
            .response
            .headers
            .first(":status")
            .and_then(status)
            .unwrap_or_default();
        stream.facts.status = Some(status);
        let headers = named(pairs)
            .into_iter()
            .filter(|(name, _)| !name.starts_with(':'))
            .collect();
        stream.answer = Some(Answer {
            status,
            headers,
            ..Answer::default()
        });
        if end {
            self.delivered(id);
        }
    }

    fn deliver_data(&mut self, id: StreamId, bytes: &[u8], end: bool) {
        let Some(stream) = self.stream_mut(id) else {
            return;
        };
        stream.facts.sent += bytes.len() as u64;
        if let Some(answer) = &mut stream.answer {
            answer.body.extend_from_slice(bytes);
        }
        if end {
            self.delivered(id);
        }
    }

    fn delivered(&mut self, id: StreamId) {
        if let Some(answer) = self
            .stream_mut(id)
            .and_then(|stream| stream.answer.as_mut())
        {
            answer.complete = true;
        }
        self.finish(id);
    }
}
