//! The host's own rules, each seen through a guest that does what its configuration says (`guest.wat`).

mod calls;
mod connection;

use super::flow::Settings;
use super::state::{Finished, StreamId};
use super::vm::{Compiled, HostFault, Vm};
use super::wire::Pair;
use crate::scenario::{Mode, Protocol};

/// A guest with a script: head, six body callbacks, trailers, response headers.
fn guest(script: &str) -> Vm {
    let module = wat::parse_str(include_str!("guest.wat")).unwrap();
    Vm::start(
        &Compiled::from_bytes(&module).unwrap(),
        script,
        1_800_000_000,
    )
    .unwrap()
}

fn head() -> Vec<Pair> {
    [
        (":method", "POST"),
        (":path", "/"),
        (":authority", "h"),
        (":scheme", "http"),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .to_vec()
}

fn settings(mode: Mode) -> Settings {
    Settings::new(mode, Protocol::H2)
}

fn begin(vm: &mut Vm, mode: Mode) -> StreamId {
    vm.open(settings(mode), head(), false)
}

/// The letters that the guest told, as one text.
fn told(vm: &Vm) -> String {
    vm.log()
        .iter()
        .map(|line| line.text.clone())
        .filter(|text| !text.starts_with('s'))
        .collect::<Vec<_>>()
        .join(" ")
}

fn finish(vm: &mut Vm, id: StreamId) -> Finished {
    if vm.request_complete(id) {
        vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], true);
    } else if vm.is_open(id) {
        vm.leave(id);
    }
    vm.take(id).unwrap()
}

#[test]
fn a_pause_on_the_head_without_the_flag_shows_no_body() {
    for mode in [Mode::Buffer, Mode::None] {
        let mut vm = guest("PCCCCCCCC");
        let id = begin(&mut vm, mode);
        vm.decode_data(id, b"body", true);
        assert_eq!(told(&vm), "h0");
        assert!(!vm.request_begun(id));
        assert!(finish(&mut vm, id).forwarded.is_none());
    }
}

#[test]
fn a_pause_on_the_head_with_the_flag_shows_the_body_and_a_continue_releases_all() {
    let mut vm = guest("PPCCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    assert!(!vm.request_begun(id));
    vm.decode_data(id, b"two", false);
    vm.decode_data(id, b"three", true);
    let sent = finish(&mut vm, id).forwarded.unwrap();
    // Cumulative while paused, per chunk afterwards; headers are writable until the Continue and not after it.
    assert_eq!(told(&vm), "h0 b3 b6 b5! H0! l0 d0 x0");
    let writable: Vec<_> = vm
        .log()
        .iter()
        .filter(|line| line.text.starts_with('s'))
        .map(|l| l.text.clone())
        .collect();
    assert_eq!(writable, ["s0", "s0", "s2"]);
    assert_eq!(sent.body, b"onetwothree");
    assert!(sent.complete);
    assert!(
        sent.headers
            .contains(&("x-set".to_owned(), b"in-body".to_vec()))
    );
}

#[test]
fn a_head_that_was_let_go_is_at_upstream_only_where_nothing_holds_it() {
    for (mode, begun) in [(Mode::None, true), (Mode::Buffer, false)] {
        let mut vm = guest("CPCCCCCCC");
        let id = begin(&mut vm, mode);
        vm.decode_data(id, b"one", false);
        assert_eq!(vm.request_begun(id), begun, "{mode}");
        vm.decode_data(id, b"two", true);
        let sent = finish(&mut vm, id).forwarded.unwrap();
        assert_eq!(sent.body, b"onetwo", "{mode}");
        assert!(
            sent.complete && !sent.headers.iter().any(|(name, _)| name == "x-set"),
            "{mode}"
        );
    }
}

#[test]
fn trailers_are_the_end_and_a_body_held_until_then_is_still_there() {
    let mut vm = guest("PPPPPPPCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.decode_trailers(id, vec![(b"t".to_vec(), b"1".to_vec())]);
    let sent = finish(&mut vm, id).forwarded.unwrap();
    assert_eq!(told(&vm), "h0 b3 t1 H0! l0 d0 x0");
    assert_eq!(
        (sent.body.as_slice(), sent.trailers.len(), sent.complete),
        (&b"one"[..], 1, true)
    );
}

#[test]
fn a_held_body_over_the_limit_is_answered_by_the_gateway() {
    let mut vm = guest("PPPPPPPPC");
    let mut small = settings(Mode::Flag);
    small.buffer_limit = 5;
    let id = vm.open(small, head(), false);
    vm.decode_data(id, b"12345", false);
    assert!(vm.is_open(id));
    vm.decode_data(id, b"6", false);
    let seen = vm.take(id).unwrap();
    assert_eq!(seen.answer.unwrap().status, 413);
    assert_eq!(seen.details.as_deref(), Some("request_payload_too_large"));
    assert!(seen.forwarded.is_none());
}

#[test]
fn over_the_limit_the_gateway_shows_the_whole_body_and_answers_then() {
    let mut vm = guest("PPCCCCCCC");
    let mut small = settings(Mode::Flag);
    small.buffer_limit = 5;
    let id = vm.open(small, head(), false);
    vm.decode_data(id, b"123", false);
    vm.decode_data(id, b"456", true);
    let seen = vm.take(id).unwrap();
    assert_eq!(told(&vm), "h0 b3 b6! H0 B17! l0 d0 x0");
    assert_eq!(seen.answer.unwrap().status, 413);
    assert!(seen.forwarded.is_none(), "the Continue counts for nothing");
}

#[test]
fn the_buffer_filter_tells_the_length() {
    let mut vm = guest("CPPPPPPCC");
    let mut one = settings(Mode::Buffer);
    one.protocol = Protocol::H1;
    let id = vm.open(one, head(), false);
    vm.decode_data(id, b"one", false);
    vm.decode_trailers(id, vec![(b"t".to_vec(), b"1".to_vec())]);
    let sent = finish(&mut vm, id).forwarded.unwrap();
    assert!(
        sent.headers
            .contains(&("content-length".to_owned(), b"3".to_vec()))
    );
    assert!(sent.trailers.is_empty() && sent.complete);
}

#[test]
fn a_body_that_flows_has_no_limit() {
    let mut vm = guest("CCCCCCCCC");
    let mut small = settings(Mode::None);
    small.buffer_limit = 5;
    let id = vm.open(small, head(), false);
    vm.decode_data(id, &[b'x'; 100], true);
    assert_eq!(finish(&mut vm, id).forwarded.unwrap().body.len(), 100);
}

#[test]
fn a_local_reply_runs_after_the_call_through_the_response_callbacks_and_stops_the_rest() {
    let mut vm = guest("PRCCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"two", true);
    let seen = vm.take(id).unwrap();
    assert_eq!(told(&vm), "h0 b3 H0 B2! l0 d0 x0");
    let answer = seen.answer.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice(), answer.complete),
        (403, &b"no"[..], true)
    );
    assert_eq!(seen.details.as_deref(), Some("test.reply"));
    assert!(seen.forwarded.is_none() && vm.trouble().is_empty());
}

#[test]
fn a_local_reply_in_mid_body_leaves_upstream_an_unfinished_request() {
    let mut vm = guest("CCRCCCCCC");
    let id = begin(&mut vm, Mode::None);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"two", true);
    let sent = vm.take(id).unwrap().forwarded.unwrap();
    assert_eq!((sent.body.as_slice(), sent.complete), (&b"one"[..], false));
}

#[test]
fn every_byte_by_content_length_is_a_complete_request_before_its_end_is_told() {
    let mut vm = guest("CCRCCCCCC");
    let mut length = head();
    length.push((b"content-length".to_vec(), b"3".to_vec()));
    let id = vm.open(settings(Mode::None), length, false);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"", true);
    assert!(vm.take(id).unwrap().forwarded.unwrap().complete);
}

#[test]
fn resuming_in_mid_body_is_trouble_and_after_the_end_it_is_not() {
    let mut vm = guest("PPUCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"two", false);
    assert_eq!(vm.trouble().len(), 1);

    let mut vm = guest("PPUCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"two", true);
    assert!(vm.trouble().is_empty());
    assert_eq!(finish(&mut vm, id).forwarded.unwrap().body, b"onetwo");
}

#[test]
fn a_trap_is_the_end_of_the_vm() {
    let mut vm = guest("TCCCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    let seen = vm.take(id).unwrap();
    assert_eq!(seen.answer.unwrap().status, 503);
    assert_eq!(told(&vm), "h0", "no on_log in a dead VM");
    assert!(vm.trouble()[0].contains("trapped"));
    let next = begin(&mut vm, Mode::Flag);
    assert_eq!(
        vm.take(next).unwrap().answer.unwrap().status,
        503,
        "and none of its callbacks runs again"
    );
}

#[test]
fn a_request_that_died_before_us_is_only_logged() {
    let mut vm = guest("CCCCCCCCC");
    let seen = vm.dead_on_arrival(
        settings(Mode::Flag),
        head(),
        431,
        "request_headers_too_large",
    );
    assert_eq!(told(&vm), "l0 d0 x0");
    assert_eq!(seen.answer.unwrap().status, 431);
}

#[test]
fn a_client_or_an_upstream_that_leaves_ends_the_stream() {
    let mut vm = guest("PPCCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.leave(id);
    let seen = vm.take(id).unwrap();
    assert_eq!(told(&vm), "h0 b3 l0 d0 x0");
    assert!(seen.answer.is_none() && seen.forwarded.is_none());

    let mut vm = guest("CCCCCCCCC");
    let id = begin(&mut vm, Mode::None);
    vm.decode_data(id, b"one", true);
    vm.upstream_leaves(id);
    assert_eq!(vm.take(id).unwrap().answer.unwrap().status, 503);

    let mut vm = guest("CCCCCCCCC");
    let id = begin(&mut vm, Mode::None);
    vm.decode_data(id, b"one", true);
    vm.respond(id, vec![(b":status".to_vec(), b"200".to_vec())], false);
    vm.encode_data(id, b"half", false);
    vm.upstream_leaves(id);
    let answer = vm.take(id).unwrap().answer.unwrap();
    assert_eq!((answer.status, answer.complete), (200, false));
}

#[test]
fn a_refused_configuration_and_an_unknown_import_do_not_come_up() {
    let module = wat::parse_str(include_str!("guest.wat")).unwrap();
    let refused = Vm::start(&Compiled::from_bytes(&module).unwrap(), "X", 1_800_000_000);
    assert!(matches!(refused, Err(HostFault::Refused { .. })));
    let unknown =
        wat::parse_str("(module (import \"env\" \"proxy_dispatch_secrets\" (func)))").unwrap();
    assert!(matches!(
        Compiled::from_bytes(&unknown),
        Err(HostFault::Module(_))
    ));
}
