use super::*;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_json_grammar() {
    use ForwardedFault::*;
    let good = json!({"by": [GATEWAY], "hash": hash(1), "uri": [CALLER]});
    let changed = |name: &str, value: Value| {
        let mut hop = good.clone();
        hop[name] = value;
        // A map of serde_json has an order of its own; the gateway's is another.
        let order = [
            "by", "hash", "cert", "chain", "subject", "uri", "dns", "issuer", "x",
        ];
        let member = |name: &&str| Some(format!("{:?}:{}", name, hop.get(name)?));
        format!(
            "[{{{}}}]",
            order
                .iter()
                .filter_map(member)
                .collect::<Vec<_>>()
                .join(",")
        )
    };
    let rows = [
        (changed("uri", json!([CALLER])), None, "as it should be"),
        (
            changed("subject", json!("CN=\",;=\\")),
            None,
            "a name with anything in it",
        ),
        (
            changed("dns", json!(["a", "od,d\u{0}"])),
            None,
            "a name that we do not use is a string of its own",
        ),
        (changed("issuer", json!("CN=ca")), None, "the issuer"),
        (
            changed("uri", json!([CALLER, NOTEBOOK])),
            Some(UriRepeated),
            "two URIs",
        ),
        (
            changed("uri", json!([])),
            Some(Malformed),
            "the gateway leaves it out",
        ),
        (
            changed("uri", json!(CALLER)),
            Some(Malformed),
            "a string for a list",
        ),
        (
            changed("uri", json!(["spiffe://example.org/a\u{0}/b"])),
            Some(NotSpiffe),
            "NUL (CVE-2026-47778)",
        ),
        (
            changed("uri", json!(["spiffe://example.org/a;b,c\"d"])),
            Some(NotSpiffe),
            "separators",
        ),
        (
            changed("by", json!([GATEWAY, EDGE])),
            Some(KeyRepeated),
            "two writers",
        ),
        (
            changed("by", json!([EDGE])),
            Some(Disagrees),
            "another writer",
        ),
        (
            changed("hash", json!("0011")),
            Some(HashInvalid),
            "a short hash",
        ),
        (
            changed("hash", json!([hash(1)])),
            Some(Malformed),
            "a list for a string",
        ),
        (changed("hash", json!(null)), Some(Malformed), "null"),
        (
            changed("x", json!("1")),
            Some(KeyUnknown),
            "an unknown member",
        ),
        (
            changed("dns", json!([["a"]])),
            Some(Malformed),
            "deeper than it is",
        ),
        (
            format!(
                "[{{\"hash\":\"{}\",\"by\":[\"{GATEWAY}\"],\"uri\":[\"{CALLER}\"]}}]",
                hash(1)
            ),
            Some(KeyUnknown),
            "out of order",
        ),
        (
            format!("[{{\"uri\":[\"{CALLER}\"]}}]"),
            Some(HashInvalid),
            "no hash",
        ),
        (
            format!("[{{\"hash\":\"{0}\",\"hash\":\"{0}\"}}]", hash(1)),
            Some(Malformed),
            "a member twice",
        ),
        (
            format!("[{{\"hash\":\"{}\",\"URI\":[\"{CALLER}\"]}}]", hash(1)),
            Some(KeyUnknown),
            "the text form's key",
        ),
        (
            format!("[{good}"),
            Some(Malformed),
            "an array that never ends",
        ),
        (
            format!("[,{good}]"),
            Some(Malformed),
            "appended to an empty array",
        ),
        (format!("[{good}],[{good}]"), Some(Malformed), "two arrays"),
        (
            format!("[{good}],{}", hop(GATEWAY, 1, CALLER)),
            Some(Malformed),
            "JSON and text",
        ),
        ("[]".to_owned(), Some(Malformed), "an empty array"),
        ("[[]]".to_owned(), Some(Malformed), "no object"),
        ("[null]".to_owned(), Some(Malformed), "no object"),
        (
            good.to_string(),
            Some(Malformed),
            "an object alone is not the form",
        ),
    ];
    for (value, expected, why) in rows {
        assert_eq!(fault(&value), expected, "{value}: {why}");
    }
    let many = |count: usize| format!("[{}]", vec![good.to_string(); count].join(","));
    assert_eq!(fault(&many(9)), Some(TooManyElements));
    assert_eq!(fault(&many(8)), Some(Untrusted));
    let two = format!(
        "[{},{}]",
        json!({"by": [EDGE], "hash": hash(1), "uri": [CALLER]}),
        json!({"by": [GATEWAY], "hash": hash(2), "uri": [EDGE]})
    );
    assert_eq!(
        told(&[&two]),
        Ok(Some((CALLER.to_owned(), [1; 32]))),
        "two hops"
    );
}
