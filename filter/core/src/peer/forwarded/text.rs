//! The text form: elements between commas, pairs between semicolons, a value bare or in quotes.
//!
//! Decided here: what is one well-formed value. The gateway's own spelling and no other: no space around anything, no
//! other case of a key, `Cert`, `Chain`, `Subject` and `Issuer` in quotes. In quotes a backslash takes the next byte with
//! it, so that the escapes of a distinguished name (RFC 2253 section 2.4) never end the value.
//! What the gateway writes bare (`By`, `URI`, `DNS`) may have nothing in it that the grammar uses: a certificate whose
//! names look like pairs or elements makes the header ambiguous, and the header is refused.

use super::{Draft, Element, ForwardedFault, Key, MAX_ELEMENTS};
use crate::audit::read_digest;

/// Reads a value in the text form.
pub(super) fn parse(value: &[u8]) -> Result<Vec<Element>, ForwardedFault> {
    let mut rest = value;
    let mut elements = Vec::new();
    loop {
        if elements.len() >= MAX_ELEMENTS {
            return Err(ForwardedFault::TooManyElements);
        }
        let mut draft = Draft::default();
        let end = loop {
            let (pair, end) = Pair::read(&mut rest)?;
            pair.enter(&mut draft)?;
            if end != End::Pair {
                break end;
            }
        };
        elements.push(draft.finish()?);
        if end == End::Value {
            return Ok(elements);
        }
    }
}

/// What ended when a pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The pair alone: `;`
    Pair,
    /// The element: `,`
    Element,
    /// The whole value.
    Value,
}

/// One key with its value, the value as it stands, without its quotes.
struct Pair<'a> {
    key: Key,
    value: &'a str,
    quoted: bool,
}

impl<'a> Pair<'a> {
    /// Takes one pair and what ends it off the front.
    fn read(rest: &mut &'a [u8]) -> Result<(Self, End), ForwardedFault> {
        let equals = rest
            .iter()
            .position(|byte| *byte == b'=')
            .ok_or(ForwardedFault::Malformed)?;
        let (name, behind) = take(rest, equals)?;
        let key = match name {
            b"By" => Key::By,
            b"Hash" => Key::Hash,
            b"Cert" => Key::Cert,
            b"Chain" => Key::Chain,
            b"Subject" => Key::Subject,
            b"URI" => Key::Uri,
            b"DNS" => Key::Dns,
            b"Issuer" => Key::Issuer,
            _ => return Err(ForwardedFault::KeyUnknown),
        };
        let quoted = behind.strip_prefix(b"\"");
        let (value, behind) = match quoted {
            Some(inside) => take(inside, quoted_length(inside)?)?,
            None => {
                let length = behind
                    .iter()
                    .position(|byte| matches!(byte, b';' | b','))
                    .unwrap_or(behind.len());
                behind
                    .split_at_checked(length)
                    .ok_or(ForwardedFault::Malformed)?
            }
        };
        let end = match behind.split_first() {
            None => End::Value,
            Some((b';', behind)) => {
                *rest = behind;
                End::Pair
            }
            Some((b',', behind)) => {
                *rest = behind;
                End::Element
            }
            Some(_) => return Err(ForwardedFault::Malformed),
        };
        let pair = Self {
            key,
            value: str::from_utf8(value).map_err(|_| ForwardedFault::Malformed)?,
            quoted: quoted.is_some(),
        };
        Ok((pair, end))
    }

    /// Puts it into its element.
    fn enter(&self, draft: &mut Draft) -> Result<(), ForwardedFault> {
        draft.enter(self.key)?;
        match self.key {
            Key::By => draft.by = Some(self.bare()?.to_owned()),
            Key::Hash => {
                draft.hash = Some(read_digest(self.bare()?).ok_or(ForwardedFault::HashInvalid)?);
            }
            Key::Cert => draft.certificate = Some(percent_decoded(self.escaped()?)?),
            // A certificate without a URI: the key alone.
            Key::Uri if self.value.is_empty() && !self.quoted => {}
            Key::Uri => draft.uri = Some(self.bare()?.to_owned()),
            Key::Dns => {
                self.bare()?;
            }
            Key::Chain | Key::Subject | Key::Issuer => {
                self.escaped()?;
            }
        }
        Ok(())
    }

    /// A value that stands without quotes: visible ASCII that the grammar does not use.
    fn bare(&self) -> Result<&'a str, ForwardedFault> {
        let plain = |byte| {
            matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'=' | b',' | b';')
        };
        if self.quoted || self.value.is_empty() || !self.value.bytes().all(plain) {
            return Err(ForwardedFault::Malformed);
        }
        Ok(self.value)
    }

    /// A value that stands in quotes: ASCII without control characters.
    fn escaped(&self) -> Result<&'a str, ForwardedFault> {
        let plain = |byte| matches!(byte, b' '..=b'~');
        if !self.quoted || !self.value.bytes().all(plain) {
            return Err(ForwardedFault::Malformed);
        }
        Ok(self.value)
    }
}

/// The `length` bytes in front, and what stands behind the one byte that follows them.
fn take(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), ForwardedFault> {
    let (front, rest) = bytes
        .split_at_checked(length)
        .ok_or(ForwardedFault::Malformed)?;
    let (_, behind) = rest.split_first().ok_or(ForwardedFault::Malformed)?;
    Ok((front, behind))
}

/// How many bytes stand before the quote that ends the value.
fn quoted_length(inside: &[u8]) -> Result<usize, ForwardedFault> {
    let mut escaped = false;
    for (index, byte) in inside.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(index),
            _ => {}
        }
    }
    Err(ForwardedFault::Malformed)
}

/// The bytes behind percent-encoding with upper-case digits (RFC 3986 section 2.1).
fn percent_decoded(text: &str) -> Result<Vec<u8>, ForwardedFault> {
    let digit = |byte: Option<u8>| match byte {
        Some(byte @ b'0'..=b'9') => byte.checked_sub(b'0'),
        Some(byte @ b'A'..=b'F') => byte.checked_sub(b'A')?.checked_add(10),
        _ => None,
    };
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = digit(bytes.next()).ok_or(ForwardedFault::Malformed)?;
            let low = digit(bytes.next()).ok_or(ForwardedFault::Malformed)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    Ok(decoded)
}
