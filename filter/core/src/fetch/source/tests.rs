#![allow(
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]
use super::super::tests::{discovery, source, spec};
use super::*;

#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_source_is_checked_field_by_field() {
    let change = |change: fn(&mut SourceSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Source::new(spec).err().unwrap_or_default()
    };
    let found = |change: fn(&mut SourceSpec)| {
        let mut spec = discovery();
        change(&mut spec);
        Source::new(spec).err().unwrap_or_default()
    };
    use SourceFault as F;
    for (why, faults, expected) in [
        ("good", change(|_| {}), &[][..]),
        ("good discovery", found(|_| {}), &[]),
        (
            "no cluster",
            change(|s| s.cluster.clear()),
            &[F::ClusterInvalid],
        ),
        (
            "a space in the cluster",
            change(|s| s.cluster = "a b".into()),
            &[F::ClusterInvalid],
        ),
        (
            "a cluster too long",
            change(|s| s.cluster = "c".repeat(256)),
            &[F::ClusterInvalid],
        ),
        (
            "Istio's cluster names",
            change(|s| s.cluster = "outbound|443||idp.example.com".into()),
            &[],
        ),
        (
            "no authority",
            change(|s| s.authority.clear()),
            &[F::AuthorityInvalid],
        ),
        (
            "user information",
            change(|s| s.authority = "a@idp".into()),
            &[F::AuthorityInvalid],
        ),
        (
            "a line break",
            change(|s| s.authority = "idp\r\nx: y".into()),
            &[F::AuthorityInvalid],
        ),
        (
            "an address with a port",
            change(|s| s.authority = "[2001:db8::1]:8443".into()),
            &[],
        ),
        (
            "an address that never ends",
            change(|s| s.authority = "[2001:db8::1".into()),
            &[F::AuthorityInvalid],
        ),
        (
            "an address with something behind",
            change(|s| s.authority = "[::1]x".into()),
            &[F::AuthorityInvalid],
        ),
        (
            "port zero",
            change(|s| s.authority = "idp:0".into()),
            &[F::AuthorityInvalid],
        ),
        (
            "path of two readings",
            change(|s| s.path = "/a//b".into()),
            &[F::PathInvalid],
        ),
        (
            "path without slash",
            change(|s| s.path = "jwks.json".into()),
            &[F::PathInvalid],
        ),
        (
            "a query",
            change(|s| s.path = "/keys?p=b2c_1_signin".into()),
            &[],
        ),
        (
            "a query of two readings",
            change(|s| s.path = "/keys?p=%41".into()),
            &[F::PathInvalid],
        ),
        (
            "a fragment",
            change(|s| s.path = "/keys#x".into()),
            &[F::PathInvalid],
        ),
        (
            "refresh at its lower bound",
            change(|s| {
                s.refresh_ms = 1_000;
                s.timeout_ms = 999;
            }),
            &[],
        ),
        (
            "refresh too short",
            change(|s| {
                s.refresh_ms = 999;
                s.timeout_ms = 100;
            }),
            &[F::RefreshOutOfBounds],
        ),
        (
            "refresh too long",
            change(|s| {
                s.refresh_ms = MAX_REFRESH_MS + 1;
                s.max_stale_ms = MAX_STALE_MS;
            }),
            &[F::RefreshOutOfBounds],
        ),
        (
            "zero is an error",
            change(|s| s.refresh_ms = 0),
            &[F::RefreshOutOfBounds, F::TimeoutNotBelowRefresh],
        ),
        (
            "no time-out",
            change(|s| s.timeout_ms = 0),
            &[F::TimeoutOutOfBounds],
        ),
        (
            "time-out too long",
            change(|s| s.timeout_ms = 30_001),
            &[F::TimeoutOutOfBounds],
        ),
        (
            "time-out as long as the refresh",
            change(|s| {
                s.refresh_ms = 10_000;
                s.timeout_ms = 10_000;
            }),
            &[F::TimeoutNotBelowRefresh],
        ),
        (
            "two time-outs as long as the refresh",
            found(|s| {
                s.refresh_ms = 10_000;
                s.timeout_ms = 5_000;
            }),
            &[F::TimeoutNotBelowRefresh],
        ),
        (
            "staleness below the refresh",
            change(|s| s.max_stale_ms = 59_999),
            &[F::MaxStaleOutOfBounds],
        ),
        (
            "stale for ever",
            change(|s| s.max_stale_ms = MAX_STALE_MS + 1),
            &[F::MaxStaleOutOfBounds],
        ),
        (
            "all of a discovery",
            found(|s| {
                s.kind = Kind::Discovery {
                    issuer: String::new(),
                    keys_cluster: Some(String::new()),
                    keys_authority: Some("a/b".into()),
                }
            }),
            &[
                F::IssuerInvalid,
                F::KeysClusterInvalid,
                F::KeysAuthorityInvalid,
            ],
        ),
    ] {
        assert_eq!(faults, expected, "{why}");
    }
}

#[test]
fn sources_that_differ_in_anything_share_nothing() {
    let mut all = vec![spec(), discovery()];
    for (index, name) in ["a", "ab"].into_iter().enumerate() {
        let number = 20_000 + index as u64;
        all.push(SourceSpec {
            cluster: name.into(),
            ..spec()
        });
        all.push(SourceSpec {
            authority: name.into(),
            ..spec()
        });
        all.push(SourceSpec {
            path: format!("/{name}"),
            ..spec()
        });
        all.push(SourceSpec {
            refresh_ms: number,
            ..spec()
        });
        all.push(SourceSpec {
            timeout_ms: 1_000 + number,
            ..spec()
        });
        all.push(SourceSpec {
            max_stale_ms: 60_000 + number,
            ..spec()
        });
    }
    // Where one text ends and the next begins counts.
    all.push(SourceSpec {
        cluster: "ab".into(),
        authority: "c".into(),
        ..spec()
    });
    all.push(SourceSpec {
        cluster: "a".into(),
        authority: "bc".into(),
        ..spec()
    });
    all.push(SourceSpec {
        kind: Kind::Revocation,
        ..spec()
    });
    let Kind::Discovery { issuer, .. } = discovery().kind else {
        panic!()
    };
    all.push(SourceSpec {
        kind: Kind::Discovery {
            issuer: issuer.clone(),
            keys_cluster: None,
            keys_authority: None,
        },
        ..discovery()
    });
    all.push(SourceSpec {
        kind: Kind::Discovery {
            issuer,
            keys_cluster: Some("idp".into()),
            keys_authority: None,
        },
        ..discovery()
    });
    let mut names: Vec<String> = all
        .iter()
        .map(|spec| Source::new(spec.clone()).unwrap().state_key())
        .collect();
    assert_eq!(
        source().state_key(),
        names[0],
        "the same fields, the same key"
    );
    assert_eq!(names[0].len(), "postern.v1.fetch..state".len() + 16);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all.len());
}
