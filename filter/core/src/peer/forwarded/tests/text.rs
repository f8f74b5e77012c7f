use super::*;
#[cfg(target_family = "wasm")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_text_grammar() {
    use ForwardedFault::*;
    let good = hop(GATEWAY, 1, CALLER);
    let (by, hash_pair, uri) = (
        format!("By={GATEWAY}"),
        format!("Hash={}", hash(1)),
        format!("URI={CALLER}"),
    );
    let rows = [
        (good.clone(), None, "as it should be"),
        (
            format!("{by};{hash_pair};Subject=\"\";{uri};DNS=a.b;DNS=*.c"),
            None,
            "an empty subject, two DNS names",
        ),
        (
            format!(
                r#"{by};{hash_pair};Subject="CN=x\,URI=y\;,;=\"q\" \\";{uri};Issuer="CN=\\\"""#
            ),
            None,
            "the grammar in quotes, and escapes before the end",
        ),
        (
            format!(r#"{by};{hash_pair};Subject="CN=x\\";URI=spiffe://evil/x";{uri}"#),
            Some(Malformed),
            "an escaped backslash does not hide the quote behind it",
        ),
        (
            format!(r#"{by};{hash_pair};Subject="CN=x;{uri}"#),
            Some(Malformed),
            "a quote that never ends",
        ),
        (
            format!(r#"{by};{hash_pair};Subject="CN=x\";{uri}"#),
            Some(Malformed),
            "an escaped quote ends nothing",
        ),
        (
            format!(r#"{by};{hash_pair};Subject="CN=x"y;{uri}"#),
            Some(Malformed),
            "something behind the quote",
        ),
        (
            format!("{by};{hash_pair};Subject=CN;{uri}"),
            Some(Malformed),
            "a bare subject",
        ),
        (
            format!("{by};{hash_pair};URI=\"{CALLER}\""),
            Some(Malformed),
            "a quoted URI",
        ),
        (
            format!("{by};{hash_pair};Subject=\"\u{e4}\";{uri}"),
            Some(Malformed),
            "not ASCII",
        ),
        (
            format!("{by};{hash_pair};Subject=\"\t\";{uri}"),
            Some(Malformed),
            "a control character",
        ),
        (format!("{good}\0"), Some(Malformed), "NUL"),
        (
            format!("{good};DNS=a\0b"),
            Some(Malformed),
            "NUL (CVE-2026-47778)",
        ),
        (
            format!("{good};DNS=a=b"),
            Some(Malformed),
            "a bare value with a separator",
        ),
        (
            format!("{good};DNS=a\\b"),
            Some(Malformed),
            "a bare value with a backslash",
        ),
        (format!("{good};DNS="), Some(Malformed), "an empty DNS name"),
        (format!("{good} "), Some(Malformed), "a space at the end"),
        (format!(" {good}"), Some(KeyUnknown), "a space in front"),
        (
            format!("{good}, {good}"),
            Some(KeyUnknown),
            "a space between elements",
        ),
        (
            format!("{by}; {hash_pair};{uri}"),
            Some(KeyUnknown),
            "a space between pairs",
        ),
        (
            format!("{by} ={hash_pair};{uri}"),
            Some(Malformed),
            "a space in a value",
        ),
        (
            format!("by={GATEWAY};{hash_pair};{uri}"),
            Some(KeyUnknown),
            "the gateway writes By",
        ),
        (
            format!("{by};{hash_pair};uri={CALLER}"),
            Some(KeyUnknown),
            "the gateway writes URI",
        ),
        (
            format!("{by};{hash_pair};SAN={CALLER}"),
            Some(KeyUnknown),
            "a key of old",
        ),
        (
            format!("{by};{hash_pair};X=1;{uri}"),
            Some(KeyUnknown),
            "an unknown key",
        ),
        (
            format!("{by};{hash_pair};=1;{uri}"),
            Some(KeyUnknown),
            "an empty key",
        ),
        (
            format!("{hash_pair};{by};{uri}"),
            Some(KeyUnknown),
            "out of order",
        ),
        (
            format!("{by};{hash_pair};DNS=x;{uri}"),
            Some(KeyUnknown),
            "a URI behind a DNS name that looks like it",
        ),
        (
            format!("{by};{by};{hash_pair};{uri}"),
            Some(KeyRepeated),
            "By twice",
        ),
        (
            format!("{by};{hash_pair};{hash_pair};{uri}"),
            Some(KeyRepeated),
            "Hash twice",
        ),
        (
            format!("{by};{hash_pair};Subject=\"\";Subject=\"\";{uri}"),
            Some(KeyRepeated),
            "Subject twice",
        ),
        (format!("{good};{uri}"), Some(UriRepeated), "two URIs"),
        (
            format!("{by};{hash_pair};URI=;{uri}"),
            Some(UriRepeated),
            "an empty one and another",
        ),
        (format!("{by};{uri}"), Some(HashInvalid), "no hash"),
        (
            format!("{by};Hash=;{uri}"),
            Some(Malformed),
            "an empty hash",
        ),
        (
            format!("{by};Hash=0011;{uri}"),
            Some(HashInvalid),
            "a short hash",
        ),
        (
            format!("{by};Hash={}0;{uri}", hash(1)),
            Some(HashInvalid),
            "65 digits",
        ),
        (
            format!("{by};Hash={};{uri}", hash(0xab).to_uppercase()),
            Some(HashInvalid),
            "upper case",
        ),
        (
            format!("{by};Hash={};{uri}", "g".repeat(64)),
            Some(HashInvalid),
            "no digits",
        ),
        (
            format!("By=;{hash_pair};{uri}"),
            Some(Malformed),
            "an empty By",
        ),
        (
            format!("{good};"),
            Some(Malformed),
            "a semicolon at the end",
        ),
        (format!("{good},"), Some(Malformed), "a comma at the end"),
        (format!(",{good}"), Some(KeyUnknown), "a comma in front"),
        (format!("{good},,{good}"), Some(KeyUnknown), "two commas"),
        ("garbage".to_owned(), Some(Malformed), "no pair"),
        (
            format!("{{\"uri\":\"x\"}},{good}"),
            Some(KeyUnknown),
            "JSON and text",
        ),
        (
            format!("[{{\"uri\":[\"x\"]}},{good}"),
            Some(Malformed),
            "an array that never ends, and text",
        ),
        (
            format!("{by};{hash_pair};Cert=\"%4\";{uri}"),
            Some(Malformed),
            "half an escape",
        ),
        (
            format!("{by};{hash_pair};Cert=\"%0a\";{uri}"),
            Some(Malformed),
            "a lower-case escape",
        ),
        (
            format!("{by};{hash_pair};Cert=\"%0A\";{uri}"),
            Some(CertificateInvalid),
            "no certificate",
        ),
    ];
    for (value, expected, why) in rows {
        assert_eq!(fault(&value), expected, "{value:?}: {why}");
    }
}
