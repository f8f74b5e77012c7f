use super::*;
use crate::peer::vectors::{GATEWAY, NAMES, hex, pem};
use serde_json::Value;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOTEBOOK: &str = "spiffe://example.org/ns/research/sa/notebook";

/// What comes of a certificate: its ID, or the first fault.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Id(&'static str),
    Odd(CertificateFault),
    Nobody(IdentityFault),
}

#[test]
fn certificates() {
    use CertificateFault::*;
    use IdentityFault::*;
    use Outcome::*;
    let rows = [
        ("workload", Id(NOTEBOOK), "as SPIRE makes them"),
        ("bare", Id(NOTEBOOK), "a name and no other extension"),
        (
            "ed25519",
            Id(NOTEBOOK),
            "the key is the handshake's business",
        ),
        ("full", Id(NOTEBOOK), "names of every kind beside one URI"),
        (
            "other",
            Id("spiffe://example.org/ns/research/sa/other"),
            "another workload",
        ),
        (
            "proxy",
            Id("spiffe://example.org/ns/istio-system/sa/gateway"),
            "a proxy",
        ),
        (
            "foreign",
            Id("spiffe://example.com/ns/research/sa/notebook"),
            "the trust domain is not asked here",
        ),
        ("no-san", Nobody(UriMissing), "no name"),
        ("no-uri", Nobody(UriMissing), "a DNS name is no workload"),
        (
            "two-uris",
            Nobody(UriRepeated),
            "the host would give the first alone",
        ),
        (
            "uri-twice",
            Nobody(UriRepeated),
            "also when both are the same",
        ),
        (
            "web-uri",
            Nobody(NotSpiffe(SpiffeFault::Scheme)),
            "another scheme",
        ),
        (
            "trust-domain",
            Nobody(NotSpiffe(SpiffeFault::PathMissing)),
            "an authority's ID",
        ),
        (
            "upper-case",
            Nobody(NotSpiffe(SpiffeFault::TrustDomain)),
            "one ID, one spelling",
        ),
        (
            "separators",
            Nobody(NotSpiffe(SpiffeFault::SegmentCharacter)),
            "a name like the header's grammar",
        ),
        (
            "nul",
            Odd(NameCharacter),
            "NUL cuts a name for readers in C (CVE-2026-47778)",
        ),
        (
            "nul-dns",
            Odd(NameCharacter),
            "also in a name that we do not use",
        ),
        ("space", Odd(NameCharacter), "a space"),
        ("not-ascii", Odd(ExtensionMalformed), "not an IA5String"),
        (
            "san-twice",
            Odd(ExtensionRepeated),
            "two readers, two names",
        ),
        (
            "usage-twice",
            Odd(ExtensionRepeated),
            "whichever extension it is",
        ),
        (
            "broken-san",
            Odd(ExtensionMalformed),
            "a length beyond the end",
        ),
        (
            "trailing-san",
            Odd(ExtensionMalformed),
            "a byte behind the names",
        ),
        (
            "broken-constraints",
            Odd(ExtensionMalformed),
            "cannot tell whether it is an authority",
        ),
        (
            "broken-usage",
            Odd(ExtensionMalformed),
            "cannot tell whether it signs",
        ),
        ("many-extensions", Odd(NotDer), "33 extensions"),
        ("authority", Odd(Authority), "cA"),
        (
            "signs-certificates",
            Odd(Authority),
            "keyCertSign without cA",
        ),
        ("signs-lists", Odd(Authority), "cRLSign"),
    ];
    for (name, expected, why) in &rows {
        let outcome = Leaf::read(pem(name).as_bytes()).map(|leaf| leaf.id());
        match (outcome, expected) {
            (Ok(Ok(id)), Id(expected)) => assert_eq!(id.as_str(), *expected, "{name}: {why}"),
            (Ok(Err(fault)), Nobody(expected)) => assert_eq!(fault, *expected, "{name}: {why}"),
            (Err(fault), Odd(expected)) => assert_eq!(fault, *expected, "{name}: {why}"),
            (outcome, _) => panic!("{name}: {outcome:?}: {why}"),
        }
    }
    let named: Vec<_> = rows.iter().map(|(name, ..)| *name).collect();
    for name in NAMES {
        assert!(named.contains(name), "{name} has no row");
    }
}

#[test]
fn one_form_of_pem() {
    let good = pem("workload");
    let (first, _) = good.split_at(28 + 64);
    assert!(first.ends_with(|last: char| last != '\n'), "a full line");
    let rows = [
        (good.to_owned(), true, "as the gateway writes it"),
        (good.trim_end().to_owned(), false, "no newline at the end"),
        (format!("{good}\n"), false, "an empty line behind"),
        (format!("\n{good}"), false, "an empty line in front"),
        (format!("{good}{good}"), false, "two certificates"),
        (format!("{good}{}", pem("other")), false, "a chain"),
        (good.replace('\n', "\r\n"), false, "other ends of lines"),
        (good.replace('\n', ""), false, "no lines"),
        (
            good.replacen(first, &format!("{first}\n"), 1),
            false,
            "an empty line inside",
        ),
        (
            good.replacen(first, &format!("{first}A"), 1),
            false,
            "a longer line",
        ),
        (
            good.replace("-----BEGIN", "----BEGIN"),
            false,
            "four dashes",
        ),
        (
            good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            false,
            "another label",
        ),
        (
            good.replace("CERTIFICATE", "X509 CERTIFICATE"),
            false,
            "an old label",
        ),
        (
            good.replace('\n', "%0A").replace(' ', "%20"),
            false,
            "URL-encoded",
        ),
        (good.replacen("MII", "M I", 1), false, "a space"),
        (good.replacen("MII", "MI=", 1), false, "padding inside"),
        (
            "-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n".to_owned(),
            false,
            "nothing inside",
        ),
        (
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
            false,
            "no line at all",
        ),
        (String::new(), false, "nothing"),
    ];
    for (text, readable, why) in rows {
        let fault = Leaf::read(text.as_bytes()).err();
        let expected = (!readable).then_some(CertificateFault::NotPem);
        assert_eq!(fault, expected, "{why}");
    }
    let long = vec![b'A'; MAX_CERTIFICATE_BYTES + 1];
    assert_eq!(Leaf::read(&long).err(), Some(CertificateFault::TooLong));
}

#[test]
fn only_the_whole_certificate_is_one() {
    let text: String = pem("workload")
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = STANDARD.decode(text).unwrap();
    let pem_of = |der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(PEM_LINE)
            .map(|line| str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    };
    assert!(Leaf::read(pem_of(&der).as_bytes()).is_ok());
    for length in 0..der.len() {
        let cut = pem_of(&der[..length]);
        assert!(
            Leaf::read(cut.as_bytes()).is_err(),
            "the first {length} bytes"
        );
    }
    let longer = [der.as_slice(), &[0]].concat();
    assert_eq!(
        Leaf::read(pem_of(&longer).as_bytes()).err(),
        Some(CertificateFault::NotDer),
        "a byte behind"
    );
}

#[test]
fn as_the_gateway_tells() {
    let gateway: Value = serde_json::from_str(GATEWAY).unwrap();
    let certificates = gateway["certificates"].as_object().unwrap();
    assert_eq!(certificates.len(), 10);
    for (name, told) in certificates {
        // Readers in C end a name at the NUL; this one is refused.
        let leaf = Leaf::read(told["pem"].as_str().unwrap().as_bytes());
        match name.as_str() {
            "nul" => assert_eq!(leaf.err(), Some(CertificateFault::NameCharacter)),
            _ => assert_eq!(
                hex(leaf.unwrap().digest()),
                told["digest"].as_str().unwrap(),
                "{name}"
            ),
        }
    }
}
