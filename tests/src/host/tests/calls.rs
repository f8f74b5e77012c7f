//! Call-outs as a guest sees them, and what a held request sees of its body before and after their answer.

use std::collections::BTreeMap;

use super::*;
use crate::host::{Behaviour, Clusters, Response, Setup, SharedData};

/// What the guest tells of an answer that has only a status and a body.
fn answered(token: u32, status: u16, body: &str, headers: usize) -> String {
    let shown = if body.is_empty() {
        String::new()
    } else {
        format!(" {body}")
    };
    format!(
        "q1 a{token} v0 {status} n{headers} z{} r0 p0 g0{shown}",
        body.len()
    )
}

#[test]
fn an_answer_comes_in_an_event_of_its_own_to_the_root_context() {
    let mut vm = guest("HCCCCCCCCU");
    vm.cluster("idp", Behaviour::Answer(Response::new(200, "keys")));
    let id = vm.open(settings(Mode::Flag), head(), true);
    assert_eq!(told(&vm), "h0! c0 k4");
    assert_eq!(vm.calls_under_way(), 1);
    vm.advance(0);
    assert!(!vm.request_begun(id), "not in the moment of the call");
    vm.advance(1);
    assert!(
        vm.request_complete(id),
        "resumed for the stream by the root"
    );
    let told = told(&vm);
    assert!(told.ends_with(&answered(4, 200, "keys", 1)), "{told}");
    let calls = vm.clusters().calls("idp");
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].header(":path").as_deref(), Some("/keys"));
    assert_eq!(
        (calls[0].timeout_ms, calls[0].at_ms),
        (500, 1_800_000_000_000)
    );
    assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
}

#[test]
fn every_way_in_which_a_call_ends() {
    let rows: [(&str, Behaviour, u64, String); 7] = [
        (
            "silence ends at the timeout of the call",
            Behaviour::Silent,
            500,
            answered(4, 504, "upstream request timeout", 3),
        ),
        (
            "a delay within the timeout is only late",
            Behaviour::Delay(300, Response::new(200, "")),
            300,
            answered(4, 200, "", 1),
        ),
        (
            "a delay beyond it is silence",
            Behaviour::Delay(500, Response::new(200, "")),
            500,
            answered(4, 504, "upstream request timeout", 3),
        ),
        (
            "a closed port is answered by the gateway",
            Behaviour::Refuse,
            1,
            answered(
                4,
                503,
                "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
                3,
            ),
        ),
        (
            "an answer that breaks off has nothing in it, and no map",
            Behaviour::Reset(20),
            20,
            "q1 a4 v2 n0 z0 r0 p0 g1".to_owned(),
        ),
        (
            "a path of its own",
            Behaviour::Paths(BTreeMap::from([(
                "/keys".to_owned(),
                Behaviour::Answer(Response::new(203, "")),
            )])),
            1,
            answered(4, 203, "", 1),
        ),
        (
            "a path that is not there",
            Behaviour::Paths(BTreeMap::new()),
            1,
            answered(4, 404, "no such path", 1),
        ),
    ];
    for (why, behaviour, after, wanted) in rows {
        let mut vm = guest("HCCCCCCCCC");
        vm.cluster("idp", behaviour);
        let id = vm.open(settings(Mode::Flag), head(), true);
        vm.advance(after - 1);
        assert_eq!(told(&vm), "h0! c0 k4", "{why}: not earlier");
        vm.advance(1);
        assert_eq!(told(&vm), format!("h0! c0 k4 {wanted}"), "{why}");
        vm.advance(10_000);
        assert_eq!(vm.calls_under_way(), 0, "{why}: one answer and no second");
        finish(&mut vm, id);
        assert!(vm.trouble().is_empty(), "{why}: {:?}", vm.trouble());
    }
}

#[test]
fn trailers_of_an_answer_are_a_map_of_their_own() {
    let mut vm = guest("HCCCCCCCCC");
    let mut response = Response::new(200, "");
    response
        .trailers
        .push(("grpc-status".to_owned(), "0".to_owned()));
    vm.cluster("idp", Behaviour::Answer(response));
    let id = vm.open(settings(Mode::Flag), head(), true);
    vm.advance(1);
    assert!(
        told(&vm).ends_with("q1 a4 v0 200 n1 z0 r1 p0 g0"),
        "{}",
        told(&vm)
    );
    finish(&mut vm, id);
}

#[test]
fn a_call_that_cannot_begin_says_so_and_is_never_answered() {
    // (script, what `idp` does, status of the call): an unknown cluster is a bad argument, an empty one a failure.
    for (script, behaviour, told_of_it) in [
        ("NCCCCCCCCC", Behaviour::Silent, "h0! c2 k0"),
        ("HCCCCCCCCC", Behaviour::Empty, "h0! c10 k0"),
    ] {
        let mut vm = guest(script);
        vm.cluster("idp", behaviour);
        let id = vm.open(settings(Mode::Flag), head(), true);
        vm.advance(60_000);
        assert_eq!(told(&vm), told_of_it);
        finish(&mut vm, id);
    }
}

#[test]
fn an_answer_outlives_the_stream_that_asked() {
    let mut vm = guest("HCCCCCCCCU");
    vm.cluster("idp", Behaviour::Delay(50, Response::new(200, "")));
    let id = vm.open(settings(Mode::Flag), head(), true);
    vm.leave(id);
    vm.advance(50);
    assert!(
        told(&vm).ends_with(&answered(4, 200, "", 1)),
        "{}",
        told(&vm)
    );
    assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());
}

#[test]
fn a_refusal_from_the_answer_reaches_the_client_and_nothing_upstream() {
    for mode in Mode::ALL {
        let mut vm = guest("HPPPPPPPCR");
        vm.cluster("idp", Behaviour::Refuse);
        let id = begin(&mut vm, mode);
        vm.decode_data(id, b"body", true);
        vm.advance(1);
        let seen = vm.take(id).unwrap();
        assert_eq!(seen.answer.unwrap().status, 403, "{mode}");
        assert!(seen.forwarded.is_none(), "{mode}");
    }
}

#[test]
fn a_held_head_without_the_flag_gets_its_body_callbacks_after_the_resume() {
    for mode in [Mode::Buffer, Mode::None] {
        let mut vm = guest("HCCCCCCCCU");
        vm.cluster("idp", Behaviour::Delay(20, Response::new(200, "")));
        let id = begin(&mut vm, mode);
        vm.decode_data(id, b"one", false);
        vm.decode_data(id, b"two", false);
        assert_eq!(
            told(&vm),
            "h0 c0 k4",
            "{mode}: nothing is shown while all is stopped"
        );
        vm.advance(20);
        assert!(
            told(&vm).ends_with("g0 b6"),
            "{mode}: one callback: {}",
            told(&vm)
        );
        assert_eq!(vm.request_begun(id), mode == Mode::None, "{mode}");
        vm.decode_data(id, b"three", true);
        assert!(told(&vm).ends_with("b6 b5!"), "{mode}: {}", told(&vm));
        let sent = finish(&mut vm, id).forwarded.unwrap();
        assert_eq!(sent.body, b"onetwothree", "{mode}");
        assert!(vm.trouble().is_empty(), "{mode}: {:?}", vm.trouble());
    }
}

#[test]
fn a_held_head_without_the_flag_is_shown_the_end_and_the_trailers_after_the_resume() {
    let mut vm = guest("HCCCCCCCCU");
    vm.cluster("idp", Behaviour::Delay(20, Response::new(200, "")));
    let id = begin(&mut vm, Mode::None);
    vm.decode_data(id, b"one", false);
    vm.decode_trailers(id, vec![(b"t".to_vec(), b"1".to_vec())]);
    vm.advance(20);
    assert!(told(&vm).ends_with("b3 t1"), "{}", told(&vm));
    let sent = finish(&mut vm, id).forwarded.unwrap();
    assert_eq!(
        (sent.body.as_slice(), sent.trailers.len()),
        (&b"one"[..], 1)
    );

    let mut vm = guest("HCCCCCCCCU");
    vm.cluster("idp", Behaviour::Delay(20, Response::new(200, "")));
    let id = begin(&mut vm, Mode::None);
    vm.decode_data(id, b"one", true);
    vm.advance(20);
    assert!(told(&vm).ends_with("b3!"), "{}", told(&vm));
    assert!(finish(&mut vm, id).forwarded.unwrap().complete);
}

#[test]
fn with_the_flag_bodies_are_shown_while_the_head_is_held_and_a_resume_after_the_end_sends_all() {
    let mut vm = guest("HPPPPPPPCU");
    vm.cluster("idp", Behaviour::Delay(20, Response::new(200, "")));
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"two", true);
    assert_eq!(told(&vm), "h0 c0 k4 b3 b6!");
    assert!(!vm.request_begun(id));
    vm.advance(20);
    let sent = finish(&mut vm, id).forwarded.unwrap();
    assert_eq!(
        (sent.body.as_slice(), sent.complete),
        (&b"onetwo"[..], true)
    );
    assert!(vm.trouble().is_empty(), "{:?}", vm.trouble());

    // The same answer in the middle of the body: the chunk of that moment is lost on some hosts.
    let mut vm = guest("HPPPPPPPCU");
    vm.cluster("idp", Behaviour::Delay(20, Response::new(200, "")));
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.advance(20);
    assert_eq!(vm.trouble().len(), 1);
    assert!(vm.is_open(id));
}

#[test]
fn with_the_flag_a_continue_of_the_body_releases_a_head_that_a_call_should_hold() {
    let mut vm = guest("HCCCCCCCCU");
    vm.cluster("idp", Behaviour::Silent);
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", true);
    assert!(
        vm.request_complete(id),
        "the bypass that a filter has to avoid"
    );
    finish(&mut vm, id);
}

#[test]
fn from_the_resume_on_no_header_can_be_written() {
    let mut vm = guest("PPVCCCCCC");
    let id = begin(&mut vm, Mode::Flag);
    vm.decode_data(id, b"one", false);
    vm.decode_data(id, b"two", true);
    assert!(told(&vm).ends_with("b6! w2"), "{}", told(&vm));
    finish(&mut vm, id);
}

#[test]
fn the_vms_of_one_gateway_share_clusters_and_data_and_each_has_its_own_ticks_and_tokens() {
    let (shared, clusters) = (SharedData::default(), Clusters::default());
    clusters.set("idp", Behaviour::Answer(Response::new(200, "")));
    let module = wat::parse_str(include_str!("../guest.wat")).unwrap();
    let compiled = Compiled::from_bytes(&module).unwrap();
    let mut vms: Vec<Vm> = (0..3)
        .map(|_| {
            let setup = Setup {
                configuration: "CCCCCCCCCCH".to_owned(),
                shared: shared.clone(),
                clusters: clusters.clone(),
                now: 1_800_000_000,
                host_crypto: true,
            };
            Vm::start_with(&compiled, setup).unwrap()
        })
        .collect();
    for vm in &mut vms {
        vm.advance(150);
        assert_eq!(told(vm), format!("c0 k4 {}", answered(4, 200, "", 1)));
    }
    assert_eq!(clusters.calls("idp").len(), 3);
    clusters.set("idp", Behaviour::Silent);
    vms[0].advance(100);
    assert_eq!(clusters.calls("idp").len(), 4);
    assert_eq!(vms[0].calls_under_way(), 1);
}
