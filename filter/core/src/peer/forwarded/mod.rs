//! `x-forwarded-client-cert`: what a trusted proxy tells of the peer that spoke to it.
//!
//! Decided here: who the caller behind trusted proxies is. Elements stand in the order of the hops. From the right: one
//! element that describes the immediate peer is our own gateway's (`APPEND_FORWARD`) and is passed over. The next was
//! written by the immediate peer and names who spoke to it. When that one is a trusted proxy too, and more stands to the
//! left, the element there must say that this proxy wrote it (`By`); then the walk goes on. Otherwise it names the
//! caller, and nothing may be left: what stands further left is a client's own.
//! Not decided here: whether the immediate peer is trusted. Without a validated, trusted immediate peer nobody calls this.
//! Against THREATS 24: a header that the client sent; two grammars in one value (the form of what the client sent decides
//! in which form a gateway appends); names of a certificate that look like the grammar, which a gateway writes bare into
//! the text form. Such a header is refused as a whole: keys stand once and in the gateway's order, and a URI is a SPIFFE
//! ID, in which no separator can be. Where the element carries the certificate, it is read, and must agree.
//!
//! What cannot be decided here: whether the proxy validated the certificate that it tells of (Envoy tells of any that was
//! presented), and whether a bare URI in the text form was the whole name (`spiffe://example.org/a;DNS=b` is told as one
//! name and reads as two). A trusted proxy has to validate, and to write the JSON form or the certificate itself (`cert:
//! true`); then the second question has an answer too.

mod json;
mod text;

use super::certificate::Leaf;
use super::spiffe::SpiffeId;

/// The longest value that is read, in bytes.
pub const MAX_FORWARDED_BYTES: usize = 16 * 1024;

/// The most elements of a value, which is the most hops.
pub const MAX_ELEMENTS: usize = 8;

/// Why the header is refused. Holds no piece of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardedFault {
    /// The header came more than once.
    HeaderRepeated,
    /// Longer than [`MAX_FORWARDED_BYTES`].
    TooLong,
    /// More than [`MAX_ELEMENTS`] elements.
    TooManyElements,
    /// Neither of the two grammars, or both.
    Malformed,
    /// A key that the gateway does not write, or not in this place.
    KeyUnknown,
    /// A key stands twice in an element.
    KeyRepeated,
    /// `Hash` is missing or is not 64 digits of lower-case hex.
    HashInvalid,
    /// An element that is used names no URI.
    UriMissing,
    /// An element names several URIs.
    UriRepeated,
    /// The URI is no SPIFFE ID of a workload.
    NotSpiffe,
    /// The certificate in an element is odd.
    CertificateInvalid,
    /// An element contradicts the connection, its own certificate or the hop before it.
    Disagrees,
    /// More elements than trusted proxies could have written.
    Untrusted,
    /// The same proxy stands in the chain twice.
    Loop,
}

impl ForwardedFault {
    /// What is wrong, to follow "it".
    pub fn what(self) -> &'static str {
        match self {
            Self::HeaderRepeated => "came more than once",
            Self::TooLong => "is too long",
            Self::TooManyElements => "has too many elements",
            Self::Malformed => "is malformed",
            Self::KeyUnknown => "has a key that is unknown or out of place",
            Self::KeyRepeated => "has a key twice in one element",
            Self::HashInvalid => "has an element without a SHA-256 hash",
            Self::UriMissing => "has an element without a URI",
            Self::UriRepeated => "has an element with several URIs",
            Self::NotSpiffe => "has a URI that is not the SPIFFE ID of a workload",
            Self::CertificateInvalid => "has a certificate that cannot be accepted",
            Self::Disagrees => "contradicts the connection, a certificate or itself",
            Self::Untrusted => "has elements that no trusted proxy vouches for",
            Self::Loop => "names the same proxy twice",
        }
    }
}

/// What one hop tells of its own peer, as far as we use it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Element {
    /// The URI of the proxy that wrote it.
    by: Option<String>,
    /// The SHA-256 of the certificate of who spoke to it.
    hash: [u8; 32],
    /// That certificate, as PEM.
    certificate: Option<Vec<u8>>,
    /// The URI in that certificate.
    uri: Option<String>,
}

/// The immediate peer, proved by the connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Immediate<'a> {
    /// Its ID.
    pub(super) id: &'a SpiffeId,
    /// The SHA-256 of its certificate.
    pub(super) digest: &'a [u8; 32],
}

/// Who called, and the SHA-256 of their certificate, as trusted proxies tell.
pub(super) type Told = (SpiffeId, [u8; 32]);

/// Who called the immediate peer, which is a trusted proxy; none when it tells of nobody.
pub(super) fn walk(
    values: &[&[u8]],
    immediate: Immediate<'_>,
    is_trusted: impl Fn(&SpiffeId) -> bool,
) -> Result<Option<Told>, ForwardedFault> {
    let mut elements = match values {
        [] => return Ok(None),
        [value] => parse(value)?,
        _ => return Err(ForwardedFault::HeaderRepeated),
    };
    if let Some(own) = elements.pop_if(|last| last.hash == *immediate.digest) {
        own.agrees_with(immediate.id)?;
    }
    let Some(mut element) = elements.pop() else {
        return Ok(None);
    };
    element.is_by(immediate.id)?;
    let mut id = element.id()?;
    let mut passed = vec![immediate.id.clone()];
    while let Some(next) = elements.pop() {
        if !is_trusted(&id) {
            return Err(ForwardedFault::Untrusted);
        }
        if passed.contains(&id) {
            return Err(ForwardedFault::Loop);
        }
        // WHY: by a name that looks like the grammar, a caller could put an element of a trusted proxy's to the right of its
        // own. It cannot choose the `By` of its own: that is what the proxy wrote that it spoke to.
        if next.by.as_deref() != Some(id.as_str()) {
            return Err(ForwardedFault::Disagrees);
        }
        passed.push(id);
        id = next.id()?;
        element = next;
    }
    Ok(Some((id, element.hash)))
}

fn parse(value: &[u8]) -> Result<Vec<Element>, ForwardedFault> {
    if value.len() > MAX_FORWARDED_BYTES {
        return Err(ForwardedFault::TooLong);
    }
    if value.first() == Some(&b'[') {
        json::parse(value)
    } else {
        text::parse(value)
    }
}

impl Element {
    /// Who it tells of.
    fn id(&self) -> Result<SpiffeId, ForwardedFault> {
        let uri = self.uri.as_ref().ok_or(ForwardedFault::UriMissing)?;
        let id = SpiffeId::parse(uri).map_err(|_| ForwardedFault::NotSpiffe)?;
        if let Some(pem) = &self.certificate {
            let leaf = Leaf::read(pem).map_err(|_| ForwardedFault::CertificateInvalid)?;
            if *leaf.digest() != self.hash || leaf.id().as_ref() != Ok(&id) {
                return Err(ForwardedFault::Disagrees);
            }
        }
        Ok(id)
    }

    /// That it tells of this peer, as far as it names one.
    fn agrees_with(&self, peer: &SpiffeId) -> Result<(), ForwardedFault> {
        if self.uri.is_some() && self.id()? != *peer {
            return Err(ForwardedFault::Disagrees);
        }
        Ok(())
    }

    /// That this proxy wrote it. A proxy whose own certificate has no SPIFFE ID (a public one) cannot say so.
    fn is_by(&self, writer: &SpiffeId) -> Result<(), ForwardedFault> {
        match self.by.as_deref() {
            Some(by) if by.starts_with("spiffe:") && by != writer.as_str() => {
                Err(ForwardedFault::Disagrees)
            }
            _ => Ok(()),
        }
    }
}

/// An element on its way: each key once, and in the order in which the gateway writes them.
#[derive(Debug, Default)]
struct Draft {
    last: Option<Key>,
    by: Option<String>,
    hash: Option<[u8; 32]>,
    certificate: Option<Vec<u8>>,
    uri: Option<String>,
}

/// A key, in the gateway's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    By,
    Hash,
    Cert,
    Chain,
    Subject,
    Uri,
    Dns,
    Issuer,
}

impl Draft {
    /// That this key may stand here. Each stands once; in the text form several `DNS` may follow each other.
    fn enter(&mut self, key: Key) -> Result<(), ForwardedFault> {
        match self.last {
            Some(last) if last == key && key == Key::Uri => Err(ForwardedFault::UriRepeated),
            Some(last) if last == key && key != Key::Dns => Err(ForwardedFault::KeyRepeated),
            Some(last) if last > key => Err(ForwardedFault::KeyUnknown),
            _ => {
                self.last = Some(key);
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<Element, ForwardedFault> {
        let Self {
            last: _,
            by,
            hash,
            certificate,
            uri,
        } = self;
        Ok(Element {
            by,
            hash: hash.ok_or(ForwardedFault::HashInvalid)?,
            certificate,
            uri,
        })
    }
}

#[cfg(test)]
mod tests;
