//! How times and digests are written in records and headers, and how digests are read.

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| {
        DIGITS
            .get(usize::from(nibble))
            .map_or('?', |digit| char::from(*digit))
    };
    // WHY no `collect`: it grows the text digit by digit, and every record holds two digests.
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 0x0f));
    }
    text
}

/// A SHA-256 digest from 64 digits of lower-case hexadecimal; none of any other text.
pub fn read_digest(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => byte.checked_sub(b'0'),
        b'a'..=b'f' => byte.checked_sub(b'a')?.checked_add(10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let bytes: Vec<u8> = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}

/// A SHA-256 digest with its name.
pub fn digest_text(digest: &[u8; 32]) -> String {
    format!("sha-256={}", hex(digest))
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub(crate) fn timestamp(millis: u64) -> String {
    // The last second of year 9999; later clocks are broken clocks.
    const LAST: u64 = 253_402_300_799_999;
    let at = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_millis(millis.min(LAST)));
    humantime::format_rfc3339_millis(at.unwrap_or(std::time::UNIX_EPOCH)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn texts() {
        assert_eq!(hex(&[0x00, 0xab, 0xff]), "00abff");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(timestamp(1_795_320_263_123), "2026-11-22T04:04:23.123Z");
        assert_eq!(
            timestamp(u64::MAX),
            "9999-12-31T23:59:59.999Z",
            "a broken clock is not a panic"
        );
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let digest = [0x3c; 32];
        let written = hex(&digest);
        for (why, text, expected) in [
            ("as we write it", written.clone(), Some(digest)),
            ("upper case", written.to_ascii_uppercase(), None),
            ("a digit less", written.replacen('3', "", 1), None),
            ("a byte more", format!("{written}00"), None),
            ("no digit", written.replacen('c', "g", 1), None),
            ("empty", String::new(), None),
        ] {
            assert_eq!(read_digest(&text), expected, "{why}");
        }
    }
}
