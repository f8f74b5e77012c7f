//! A JWS in compact form, cut into its three parts (RFC 7515 section 7.1).
//!
//! Decided here: the outer shape. Three parts, none empty, each canonical base64url without padding: exactly one text
//! for each value, so that a token cannot be rewritten without breaking it.
//! Not decided here: what the parts mean.
//! Against: JWE (five parts), JSON serialisation, padding, trailing bits, white space (THREATS 21), size.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fault::TokenFault;
use super::secret::Secret;

/// The longest token that is looked at, in bytes. Envoy's own default for a whole request head is 60 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest JOSE header, decoded, in bytes.
const MAX_HEADER_BYTES: usize = 4 * 1024;

/// base64url as RFC 7515 section 2 has it, and the only one: no padding, and the unused bits of the last character are zero.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(false),
);

/// The parts of a token. Only the outer shape is known to be good.
pub(super) struct Compact<'a> {
    /// The JOSE header, decoded.
    pub(super) header: Vec<u8>,
    /// The payload, decoded.
    pub(super) payload: Vec<u8>,
    /// What the signature is over: the first two parts and the dot between, as they came.
    pub(super) signed: &'a [u8],
    /// The signature as it came; known to be canonical base64url.
    pub(super) signature: &'a str,
}

impl<'a> Compact<'a> {
    pub(super) fn parse(token: Secret<'a>) -> Result<Compact<'a>, TokenFault> {
        let bytes = token.expose_secret();
        if bytes.len() > MAX_TOKEN_BYTES {
            return Err(TokenFault::TooLong);
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| TokenFault::Malformed("it is not text"))?;
        let parts = || TokenFault::Malformed("it does not have three parts");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(parts)?;
        let (header, payload) = signed.split_once('.').ok_or_else(parts)?;
        if payload.contains('.') {
            return Err(parts());
        }
        let header = decode_part(header, "its header is not base64url")?;
        let payload = decode_part(payload, "its payload is not base64url")?;
        decode_part(signature, "its signature is not base64url")?;
        if header.len() > MAX_HEADER_BYTES {
            return Err(TokenFault::TooLong);
        }
        Ok(Compact {
            header,
            payload,
            signed: signed.as_bytes(),
            signature,
        })
    }
}

/// One part: not empty, and canonical.
fn decode_part(text: &str, why: &'static str) -> Result<Vec<u8>, TokenFault> {
    match decode(text) {
        Some(bytes) if !bytes.is_empty() => Ok(bytes),
        Some(_) | None => Err(TokenFault::Malformed(why)),
    }
}

/// Decodes canonical base64url without padding; `None` for anything else.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn fault(token: &[u8]) -> Option<TokenFault> {
        Compact::parse(Secret::new(token)).err()
    }

    #[test]
    fn the_three_parts() {
        let parts = Compact::parse(Secret::new(b"e30.W10.AAE")).unwrap();
        assert_eq!(parts.header, b"{}");
        assert_eq!(parts.payload, b"[]");
        assert_eq!(parts.signed, b"e30.W10");
        assert_eq!(parts.signature, "AAE");
    }

    #[test]
    fn anything_but_three_canonical_parts_is_refused() {
        for (why, token) in [
            ("empty", &b""[..]),
            ("one part", b"e30"),
            ("two parts: an unsecured token cut off", b"e30.e30"),
            (
                "empty signature: an unsecured token (RFC 7519 section 6)",
                b"e30.e30.",
            ),
            ("empty header", b".e30.AAE"),
            ("empty payload: detached content", b"e30..AAE"),
            ("four parts", b"e30.e30.AAE.AAE"),
            ("five parts: JWE", b"e30.AA.AA.AA.AA"),
            ("a dot too much at the end", b"e30.e30.AAE."),
            ("a dot too much in front", b".e30.e30.AAE"),
            ("only dots", b".."),
            (
                "JSON serialisation",
                br#"{"payload":"e30","signatures":[]}"#,
            ),
            ("padding in the header", b"e30=.e30.AAE"),
            ("padding in the signature", b"e30.e30.AA=="),
            (
                "trailing bits in the header: decodes to the same",
                b"e31.e30.AAE",
            ),
            (
                "trailing bits in the signature: decodes to the same",
                b"e30.e30.AAF",
            ),
            ("a length that no base64 text has", b"e30.e30.A"),
            ("the plain alphabet", b"e30.e30.AA+/"),
            ("a space in front", b" e30.e30.AAE"),
            ("a line feed at the end", b"e30.e30.AAE\n"),
            ("a line break inside", b"e30.e3\r\n0.AAE"),
            ("NUL at the end", b"e30.e30.AAE\0"),
            ("not UTF-8", b"e30.e30.AAE\xff"),
            ("letters beyond ASCII", "e30.e30.ÄÄ".as_bytes()),
        ] {
            assert!(
                matches!(fault(token), Some(TokenFault::Malformed(_))),
                "{why}: {:?}",
                fault(token)
            );
        }
    }

    #[test]
    fn sizes_are_bounded_exactly() {
        let of_length =
            |n: usize| format!("e30.e30.{}", "A".repeat(n.saturating_sub(8))).into_bytes();
        assert_eq!(fault(&of_length(MAX_TOKEN_BYTES)), None);
        assert_eq!(
            fault(&of_length(MAX_TOKEN_BYTES + 1)),
            Some(TokenFault::TooLong)
        );
        let with_header = |n: usize| format!("{}.e30.AAE", BASE64URL.encode(vec![b' '; n]));
        assert_eq!(fault(with_header(MAX_HEADER_BYTES).as_bytes()), None);
        assert_eq!(
            fault(with_header(MAX_HEADER_BYTES + 1).as_bytes()),
            Some(TokenFault::TooLong)
        );
    }
}
