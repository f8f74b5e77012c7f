//! Numbers and layouts of the proxy-wasm ABI 0.2.1.

/// Status of a host call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    SerializationFailure = 3,
    InvalidMemoryAccess = 6,
    CasMismatch = 8,
    InternalFailure = 10,
}

/// Status as a guest sees it.
pub(super) type Code = i32;

impl From<Status> for Code {
    fn from(status: Status) -> Code {
        status as Code
    }
}

/// A header map, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapKind {
    RequestHeaders,
    RequestTrailers,
    ResponseHeaders,
    ResponseTrailers,
    CallHeaders,
    CallTrailers,
}

impl MapKind {
    pub(super) fn parse(number: i32) -> Option<Self> {
        match number {
            0 => Some(MapKind::RequestHeaders),
            1 => Some(MapKind::RequestTrailers),
            2 => Some(MapKind::ResponseHeaders),
            3 => Some(MapKind::ResponseTrailers),
            6 => Some(MapKind::CallHeaders),
            7 => Some(MapKind::CallTrailers),
            _ => None,
        }
    }
}

/// A buffer, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BufferKind {
    RequestBody,
    ResponseBody,
    CallBody,
    VmConfiguration,
    PluginConfiguration,
}

impl BufferKind {
    pub(super) fn parse(number: i32) -> Option<Self> {
        match number {
            0 => Some(BufferKind::RequestBody),
            1 => Some(BufferKind::ResponseBody),
            4 => Some(BufferKind::CallBody),
            6 => Some(BufferKind::VmConfiguration),
            7 => Some(BufferKind::PluginConfiguration),
            _ => None,
        }
    }
}

/// Name and value, as bytes.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// A list of pairs in the layout of the ABI: count, all lengths, then all texts, each closed by a zero byte.
pub(super) fn pairs_to_bytes(pairs: &[Pair]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    let mut put = |number: usize| {
        bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes())
    };
    put(pairs.len());
    for (name, value) in pairs {
        put(name.len());
        put(value.len());
    }
    for (name, value) in pairs {
        for text in [name, value] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    bytes
}

/// The other way; `None` when the layout is broken.
pub(super) fn bytes_to_pairs(bytes: &[u8]) -> Option<Vec<Pair>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let number = |at: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(four)).ok()
    };
    let count = number(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut pairs = Vec::new();
    for row in 0..count {
        let mut text = |length: usize| -> Option<Vec<u8>> {
            let end = at.checked_add(length)?;
            let text = bytes.get(at..end)?.to_vec();
            if bytes.get(end) != Some(&0) {
                return None;
            }
            at = end + 1;
            Some(text)
        };
        let name = text(number(4 + row * 8)?)?;
        let value = text(number(8 + row * 8)?)?;
        pairs.push((name, value));
    }
    (at == bytes.len()).then_some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_layout_and_a_broken_layout_does_not_read() {
        let pairs = vec![
            (b"a".to_vec(), b"".to_vec()),
            (b"b".to_vec(), vec![0xff, 0, 1]),
        ];
        let bytes = pairs_to_bytes(&pairs);
        assert_eq!(bytes_to_pairs(&bytes), Some(pairs));
        assert_eq!(bytes_to_pairs(&bytes[..bytes.len() - 1]), None);
        assert_eq!(bytes_to_pairs(&[9, 0, 0, 0]), None);
        assert_eq!(bytes_to_pairs(&[]), Some(Vec::new()));
    }
}
