//! How times and digests are written in records and headers.

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| {
        DIGITS
            .get(usize::from(nibble))
            .map_or('?', |digit| char::from(*digit))
    };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)])
        .collect()
}

/// A SHA-256 digest with its name.
pub fn digest_text(digest: &[u8; 32]) -> String {
    format!("sha-256={}", hex(digest))
}

/// Milliseconds since 1970 as RFC 3339 in UTC.
pub fn timestamp(millis: u64) -> String {
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
}
