use super::vectors::{connection, digest, hex};
use super::*;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOTEBOOK: &str = "spiffe://example.org/ns/research/sa/notebook";
const GATEWAY: &str = "spiffe://example.org/ns/istio-system/sa/gateway";

fn peers(domains: &[&str], min_tls: TlsVersion, proxies: &[&str]) -> Peers {
    let domains = domains
        .iter()
        .map(|name| TrustDomain::parse(name).unwrap())
        .collect();
    let proxies = proxies
        .iter()
        .map(|text| PeerPattern::parse(text).unwrap())
        .collect();
    Peers::new(domains, min_tls, proxies).unwrap()
}

fn strict() -> Peers {
    peers(&["example.org"], TlsVersion::V1_2, &[GATEWAY])
}

/// Who is proved: the ID, and the proxy that told of it.
fn proved(
    peers: &Peers,
    connection: &Connection,
    forwarded: &[&str],
) -> Result<Option<(String, Option<String>)>, PeerFault> {
    let values: Vec<&[u8]> = forwarded.iter().map(|value| value.as_bytes()).collect();
    let peer = peers.prove(connection, &values)?;
    Ok(peer.map(|peer| {
        (
            peer.id().to_string(),
            peer.forwarded_by().map(SpiffeId::to_string),
        )
    }))
}

#[test]
fn what_a_connection_proves() {
    let changed = |change: &dyn Fn(&mut Connection)| {
        let mut connection = connection("workload");
        change(&mut connection);
        connection
    };
    let notebook = Ok(Some((NOTEBOOK.to_owned(), None)));
    let other_pem = connection("other").certificate;
    let other_digest = connection("other").digest;
    let rows: Vec<(Connection, Result<_, PeerFault>, &str)> = vec![
        (connection("workload"), notebook.clone(), "validated"),
        (Connection::default(), Ok(None), "no certificate"),
        (
            changed(&|c| c.validated = false),
            Err(PeerFault::NotValidated),
            "presented only, or a resumed session",
        ),
        (
            changed(&|c| (c.validated, c.certificate) = (false, None)),
            Err(PeerFault::NotValidated),
            "it is asked first",
        ),
        (
            changed(&|c| c.presented = false),
            Err(PeerFault::Incomplete),
            "validated and not presented",
        ),
        (
            changed(&|c| (c.presented, c.validated) = (false, false)),
            Err(PeerFault::Incomplete),
            "a certificate that nobody presented",
        ),
        (
            changed(&|c| c.certificate = None),
            Err(PeerFault::Incomplete),
            "no certificate given",
        ),
        (
            changed(&|c| c.digest = None),
            Err(PeerFault::Incomplete),
            "no digest given",
        ),
        (
            changed(&|c| c.certificate = other_pem.clone()),
            Err(PeerFault::DigestDisagrees),
            "another certificate",
        ),
        (
            changed(&|c| c.digest = other_digest.clone()),
            Err(PeerFault::DigestDisagrees),
            "another digest",
        ),
        (
            changed(&|c| c.digest = c.digest.as_ref().map(|digest| digest.to_uppercase())),
            Err(PeerFault::DigestDisagrees),
            "the host writes lower case",
        ),
        (
            changed(&|c| c.digest = Some(String::new())),
            Err(PeerFault::DigestDisagrees),
            "an empty digest",
        ),
        (
            changed(&|c| c.tls_version = Some("TLSv1.2".into())),
            notebook.clone(),
            "the least",
        ),
        (
            changed(&|c| c.tls_version = Some("TLSv1.1".into())),
            Err(PeerFault::TlsVersion),
            "older",
        ),
        (
            changed(&|c| c.tls_version = Some("TLSv1.4".into())),
            Err(PeerFault::TlsVersion),
            "unknown",
        ),
        (
            changed(&|c| c.tls_version = None),
            Err(PeerFault::TlsVersion),
            "not given",
        ),
        (
            connection("foreign"),
            Err(PeerFault::TrustDomain),
            "another trust domain",
        ),
        (
            connection("authority"),
            Err(PeerFault::Certificate(CertificateFault::Authority)),
            "an authority",
        ),
        (
            connection("nul"),
            Err(PeerFault::Certificate(CertificateFault::NameCharacter)),
            "NUL",
        ),
        (
            connection("two-uris"),
            Err(PeerFault::Identity(IdentityFault::UriRepeated)),
            "several",
        ),
        (
            connection("no-uri"),
            Err(PeerFault::Identity(IdentityFault::UriMissing)),
            "nobody",
        ),
    ];
    for (connection, expected, why) in rows {
        assert_eq!(proved(&strict(), &connection, &[]), expected, "{why}");
    }
}

#[test]
fn what_the_policy_asks() {
    let any = Peers::default();
    assert_eq!(any, peers(&[], TlsVersion::V1_2, &[]));
    assert!(
        proved(&any, &connection("foreign"), &[]).unwrap().is_some(),
        "no domain named: any"
    );
    let mut older = connection("workload");
    older.tls_version = Some("TLSv1.2".to_owned());
    let newest = peers(&[], TlsVersion::V1_3, &[]);
    assert_eq!(proved(&newest, &older, &[]), Err(PeerFault::TlsVersion));
    assert!(
        proved(&newest, &connection("workload"), &[])
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_header_is_read_from_trusted_proxies_only() {
    let caller = "spiffe://example.org/ns/a/sa/b";
    let told = format!("By={GATEWAY};Hash={};URI={caller}", "5".repeat(64));
    let foreign = told.replace(caller, "spiffe://example.com/ns/a/sa/b");
    let by_proxy = |id: &str| Ok(Some((id.to_owned(), Some(GATEWAY.to_owned()))));
    let own = |name: &str| format!(",By=spiffe://example.org/us;Hash={}", hex(&digest(name)));
    let appended = format!("{told}{}", own("proxy"));
    let alone = own("proxy").split_off(1);
    let rows = [
        (
            "proxy",
            vec![told.as_str()],
            by_proxy(caller),
            "told by the immediate peer",
        ),
        (
            "proxy",
            vec![&appended],
            by_proxy(caller),
            "and our gateway appended",
        ),
        (
            "proxy",
            vec![],
            Ok(Some((GATEWAY.to_owned(), None))),
            "nothing told: the proxy itself calls",
        ),
        (
            "proxy",
            vec![&alone],
            Ok(Some((GATEWAY.to_owned(), None))),
            "our gateway's element alone",
        ),
        (
            "proxy",
            vec![&foreign],
            Err(PeerFault::TrustDomain),
            "the caller's trust domain counts too",
        ),
        (
            "proxy",
            vec![""],
            Err(PeerFault::Forwarded(ForwardedFault::Malformed)),
            "an empty value",
        ),
        (
            "proxy",
            vec![&told, &told],
            Err(PeerFault::Forwarded(ForwardedFault::HeaderRepeated)),
            "two headers",
        ),
        (
            "workload",
            vec![&told],
            Ok(Some((NOTEBOOK.to_owned(), None))),
            "a caller's own header names nobody",
        ),
        (
            "workload",
            vec!["garbage", "more"],
            Ok(Some((NOTEBOOK.to_owned(), None))),
            "and is not even read",
        ),
    ];
    for (certificate, forwarded, expected, why) in rows {
        assert_eq!(
            proved(&strict(), &connection(certificate), &forwarded),
            expected,
            "{why}"
        );
    }
    assert_eq!(
        proved(&strict(), &Connection::default(), &[&told]),
        Ok(None),
        "nobody told it"
    );
    let mut unproved = connection("proxy");
    unproved.validated = false;
    assert_eq!(
        proved(&strict(), &unproved, &[&told]),
        Err(PeerFault::NotValidated),
        "a forged proxy"
    );
    let no_proxies = peers(&["example.org"], TlsVersion::V1_2, &[]);
    assert_eq!(
        proved(&no_proxies, &connection("proxy"), &[&told]),
        Ok(Some((GATEWAY.to_owned(), None))),
        "no proxy is trusted unless named"
    );
    let peer = strict()
        .prove(&connection("proxy"), &[told.as_bytes()])
        .unwrap()
        .unwrap();
    assert_eq!(
        peer.certificate_digest(),
        &[0x55; 32],
        "the caller's certificate, as told"
    );
    let peer = strict()
        .prove(&connection("workload"), &[])
        .unwrap()
        .unwrap();
    assert_eq!(
        peer.certificate_digest(),
        &digest("workload"),
        "the connection's"
    );
}

#[test]
fn what_a_token_can_be_bound_to() {
    let good = connection("workload");
    let mut presented = good.clone();
    presented.validated = false;
    presented.certificate = None;
    let mut absent = good.clone();
    absent.presented = false;
    let mut odd = good.clone();
    odd.digest = odd.digest.map(|digest| digest.to_uppercase());
    let expected = Some(digest("workload"));
    for (connection, expected, why) in [
        (good, expected, "validated"),
        (
            presented,
            expected,
            "presented: the handshake proved possession (RFC 8705 section 6.2)",
        ),
        (absent, None, "nobody presented it"),
        (odd, None, "not as the host writes it"),
        (Connection::default(), None, "no certificate"),
    ] {
        assert_eq!(connection.bound_certificate(), expected, "{why}");
    }
}

#[test]
fn what_cannot_be_asked_of_peers() {
    let domain = |name: &str| TrustDomain::parse(name).unwrap();
    let proxy = |text: &str| PeerPattern::parse(text).unwrap();
    let a = || domain("a");
    let p = || proxy("spiffe://a/p");
    let many = |count: usize| {
        (0..count)
            .map(|n| domain(&format!("d{n}")))
            .collect::<Vec<_>>()
    };
    use TlsVersion::*;
    let rows = [
        (vec![], V1_2, vec![], None, "nothing"),
        (vec![a()], V1_3, vec![p()], None, "something"),
        (
            vec![],
            V1_2,
            vec![p()],
            None,
            "any domain, so the proxy's too",
        ),
        (many(64), V1_2, vec![], None, "the most"),
        (many(65), V1_2, vec![], Some(PeersFault::TooMany), "more"),
        (
            vec![],
            V1_2,
            vec![p(); 65],
            Some(PeersFault::TooMany),
            "more",
        ),
        (
            vec![],
            V1_1,
            vec![],
            Some(PeersFault::TlsTooOld),
            "RFC 8996",
        ),
        (
            vec![a(), a()],
            V1_2,
            vec![],
            Some(PeersFault::TrustDomainRepeated(a())),
            "twice",
        ),
        (
            vec![],
            V1_2,
            vec![p(), p()],
            Some(PeersFault::ProxyRepeated(p())),
            "twice",
        ),
        (
            vec![domain("b")],
            V1_2,
            vec![p()],
            Some(PeersFault::ProxyForeign(p())),
            "could never be one",
        ),
    ];
    for (domains, tls, proxies, fault, why) in rows {
        assert_eq!(Peers::new(domains, tls, proxies).err(), fault, "{why}");
    }
}
