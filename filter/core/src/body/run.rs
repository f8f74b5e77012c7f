//! The fast way through a string that nobody reads: how far it goes on without a byte that needs thought, eight bytes at a time. Decides
//! nothing.

const ONES: u64 = u64::from_le_bytes([1; 8]);
const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);
const SPACES: u64 = u64::from_le_bytes([b' '; 8]);
const QUOTES: u64 = u64::from_le_bytes([b'"'; 8]);
const BACKSLASHES: u64 = u64::from_le_bytes([b'\\'; 8]);

/// The bytes before the first quote, backslash or control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) length: usize,
    /// No byte of it is above 0x7f. May be false for a run of ASCII, never true for another.
    pub(super) ascii: bool,
}

/// The run at the start of `rest`.
pub(super) fn run(rest: &[u8]) -> Run {
    let (blocks, tail) = rest.as_chunks::<8>();
    let mut length: usize = 0;
    let mut all: u64 = 0;
    for block in blocks {
        let word = u64::from_le_bytes(*block);
        all |= word;
        let stops = stops(word);
        if stops != 0 {
            // The lowest set bit is exact; the bits above it may owe to a borrow.
            let before = usize::try_from(stops.trailing_zeros() / 8).unwrap_or(0);
            return Run {
                length: length.saturating_add(before),
                ascii: all & HIGH_BITS == 0,
            };
        }
        length = length.saturating_add(8);
    }
    for byte in tail {
        if matches!(byte, 0x00..=0x1f | b'"' | b'\\') {
            break;
        }
        all |= u64::from(*byte);
        length = length.saturating_add(1);
    }
    Run {
        length,
        ascii: all & HIGH_BITS == 0,
    }
}

/// A word whose lowest set bit is the high bit of the first byte of `word` that ends a run; zero if there is none.
const fn stops(word: u64) -> u64 {
    let quote = word ^ QUOTES;
    let backslash = word ^ BACKSLASHES;
    let control = word.wrapping_sub(SPACES) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | quote | backslash) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    /// Every byte at every place of up to three words, among neighbours that could mislead the arithmetic.
    #[test]
    fn ends_where_a_byte_by_byte_search_ends() {
        for filler in [0x20, 0x21, 0x23, 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
            for length in 0..24 {
                for place in 0..length {
                    for byte in 0..=255_u8 {
                        let mut text = vec![filler; length];
                        text[place] = byte;
                        let expected = text
                            .iter()
                            .position(|byte| matches!(byte, 0x00..=0x1f | b'"' | b'\\'))
                            .unwrap_or(length);
                        let seen = run(&text);
                        assert_eq!(
                            seen.length, expected,
                            "{byte:#x} at {place} of {length} among {filler:#x}"
                        );
                        assert!(
                            !seen.ascii || text[..expected].is_ascii(),
                            "ASCII is never claimed wrongly"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn two_stops_in_one_word() {
        assert_eq!(run(b"ab\"\"\\\x00cd").length, 2, "the first one counts");
        assert_eq!(
            run(b"ab\\!\"!cd").length,
            2,
            "a byte one above a stop follows it"
        );
    }
}
