//! One number literal, byte by byte (RFC 8259 §6): its grammar, its length, and whether it fits a double. Which numbers a field may have
//! is decided in `scan`. Against THREATS 3 (huge numbers, `NaN`, leading zeros) and 30.
//!
//! No floating point is computed: the decimal exponent of the first significant digit, and the first seventeen digits where that is 308,
//! tell whether a double overflows. Readers round differently there: what lies between the largest double and the point where exact
//! rounding reaches infinity is refused, and so are numbers of more digits just below, where inexact readers reach it.

use super::{BodyFault, MAX_NUMBER_BYTES};

/// The significant digits kept: enough to compare with [`LARGEST`].
const KEPT: u8 = 17;

/// The first seventeen digits of the largest finite double, 1.797…e308.
const LARGEST: u64 = 17_976_931_348_623_157;

/// The same where more digits follow.
const LARGEST_OF_MORE: u64 = 17_976_931_348_623_155;

/// The decimal exponent of the largest finite double.
const LARGEST_EXPONENT: i32 = 308;

/// Exponents are counted up to here; what lies beyond is as good as this.
const EXPONENT_CAP: i32 = 100_000;

/// ```text
///  '-' -> Minus -0-> Zero ----+-'.'-> Point -digit-> Fraction (digit)* -+
///             +-1-9-> Whole --+                                         |
///                             +------------------'e'--------------------+-> E -sign-> Sign -digit-> Exponent (digit)*
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// A number literal as far as it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number {
    part: Part,
    negative: bool,
    exponent_negative: bool,
    /// Bytes of the literal.
    bytes: u8,
    /// How many digits `digits` has, at most [`KEPT`].
    kept: u8,
    /// Whether there were more digits than are kept.
    more: bool,
    /// The first significant digits, read as one number.
    digits: u64,
    /// The decimal exponent of the first significant digit, as written before the exponent part.
    point: i32,
    exponent: i32,
}

/// What a byte did to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The byte belongs to the number.
    Within,
    /// The number ended before the byte.
    Ended,
}

impl Number {
    /// A number that starts with `byte`, `-` or a digit; `None` for any other byte.
    pub(super) fn begin(byte: u8) -> Option<Self> {
        let mut number = Self {
            part: Part::Minus,
            negative: byte == b'-',
            exponent_negative: false,
            bytes: 1,
            kept: 0,
            more: false,
            digits: 0,
            point: -1,
            exponent: 0,
        };
        match byte {
            b'-' => {}
            b'0' => number.part = Part::Zero,
            b'1'..=b'9' => number.whole(byte),
            0x00..=0x2c | 0x2e..=0x2f | 0x3a..=0xff => return None,
        }
        Some(number)
    }

    /// Takes the next byte.
    ///
    /// # Errors
    /// `NotJson` (or `NotUtf8`) when the byte cannot stand there, `NumberTooLong`.
    pub(super) fn push(&mut self, byte: u8) -> Result<Step, BodyFault> {
        match (self.part, byte) {
            (Part::Minus, b'1'..=b'9') | (Part::Whole, b'0'..=b'9') => self.whole(byte),
            (Part::Minus, b'0') => self.part = Part::Zero,
            (Part::Zero | Part::Whole, b'.') => self.part = Part::Point,
            (Part::Point | Part::Fraction, b'0'..=b'9') => self.fraction(byte),
            (Part::Zero | Part::Whole | Part::Fraction, b'e' | b'E') => self.part = Part::E,
            (Part::E, b'+' | b'-') => {
                self.part = Part::Sign;
                self.exponent_negative = byte == b'-';
            }
            (Part::E | Part::Sign | Part::Exponent, b'0'..=b'9') => self.exponent(byte),
            (Part::Minus | Part::Point | Part::E | Part::Sign, _) | (Part::Zero, b'0'..=b'9') => {
                return Err(BodyFault::of_byte(byte));
            }
            (Part::Zero | Part::Whole | Part::Fraction | Part::Exponent, _) => {
                return Ok(Step::Ended);
            }
        }
        if self.bytes >= MAX_NUMBER_BYTES {
            return Err(BodyFault::NumberTooLong);
        }
        self.bytes = self.bytes.saturating_add(1);
        Ok(Step::Within)
    }

    /// The bytes of the literal so far.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.bytes)
    }

    /// Whether a double cannot hold the number.
    pub(super) fn overflows(&self) -> bool {
        if self.kept == 0 {
            return false;
        }
        let exponent = if self.exponent_negative {
            self.point.saturating_sub(self.exponent)
        } else {
            self.point.saturating_add(self.exponent)
        };
        match exponent.cmp(&LARGEST_EXPONENT) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => {
                self.leading_digits() > if self.more { LARGEST_OF_MORE } else { LARGEST }
            }
            std::cmp::Ordering::Greater => true,
        }
    }

    /// The number, if it is written as a whole number without sign, fraction or exponent, and has at most seventeen digits.
    pub(super) fn whole_value(&self) -> Option<u64> {
        match self.part {
            Part::Zero | Part::Whole if !self.negative && !self.more => Some(self.digits),
            Part::Zero
            | Part::Whole
            | Part::Minus
            | Part::Point
            | Part::Fraction
            | Part::E
            | Part::Sign
            | Part::Exponent => None,
        }
    }

    fn whole(&mut self, digit: u8) {
        self.part = Part::Whole;
        self.point = self.point.saturating_add(1);
        self.keep(digit);
    }

    fn fraction(&mut self, digit: u8) {
        self.part = Part::Fraction;
        if self.kept == 0 && digit == b'0' {
            self.point = self.point.saturating_sub(1);
        } else {
            self.keep(digit);
        }
    }

    fn exponent(&mut self, digit: u8) {
        self.part = Part::Exponent;
        let exponent = self.exponent.saturating_mul(10);
        self.exponent = exponent
            .saturating_add(i32::from(value(digit)))
            .min(EXPONENT_CAP);
    }

    fn keep(&mut self, digit: u8) {
        if self.kept == KEPT {
            self.more = true;
        } else {
            self.kept = self.kept.saturating_add(1);
            // INVARIANT (digits): at most seventeen digits fit with room to spare, so nothing wraps.
            self.digits = self
                .digits
                .wrapping_mul(10)
                .wrapping_add(u64::from(value(digit)));
        }
    }

    /// The first seventeen significant digits, filled up with zeros.
    fn leading_digits(&self) -> u64 {
        let missing = KEPT.saturating_sub(self.kept);
        self.digits
            .saturating_mul(10_u64.saturating_pow(u32::from(missing)))
    }
}

fn value(digit: u8) -> u8 {
    digit.saturating_sub(b'0')
}

#[cfg(test)]
mod tests {
    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn read(literal: &str) -> Result<Option<Number>, BodyFault> {
        let mut bytes = literal.bytes();
        let Some(mut number) = bytes.next().and_then(Number::begin) else {
            return Ok(None);
        };
        // A number in a body always ends at another byte.
        for byte in bytes.chain([b',']) {
            match number.push(byte)? {
                Step::Within => {}
                Step::Ended => return Ok((byte == b',').then_some(number)),
            }
        }
        Ok(None)
    }

    #[test]
    fn grammar() {
        #[rustfmt::skip]
        let rows = [
            ("0", true, "the shortest"),
            ("-0", true, "negative zero is a number"),
            ("0.0", true, "a zero before the point"),
            ("0e0", true, "an exponent on zero"),
            ("10", true, "a zero that does not lead"),
            ("-1.5E+10", true, "every part"),
            ("1e05", true, "an exponent may have leading zeros"),
            ("1E-5", true, "a negative exponent"),
            ("", false, "nothing"),
            ("-", false, "a sign alone"),
            ("+1", false, "no plus"),
            ("--1", false, "one minus"),
            ("00", false, "a leading zero"),
            ("01", false, "a leading zero"),
            ("-01", false, "a leading zero behind a minus"),
            (".5", false, "no digit before the point"),
            ("5.", false, "no digit behind the point"),
            ("-.5", false, "no digit between minus and point"),
            ("1.e1", false, "no digit between point and exponent"),
            ("1e", false, "no digit in the exponent"),
            ("1e+", false, "no digit in the exponent"),
            ("1e+-1", false, "two signs"),
            ("1.2.3", false, "two points"),
            ("1e1.5", false, "a point in the exponent"),
            ("1e1e1", false, "two exponents"),
            ("0x10", false, "hexadecimal"),
            ("1_000", false, "digits are not grouped"),
            ("NaN", false, "not a number"),
            ("-Infinity", false, "infinity is not a number"),
            ("1\u{ff11}", false, "a fullwidth digit"),
        ];
        for (literal, good, why) in rows {
            let seen = matches!(read(literal), Ok(Some(_)));
            assert_eq!(seen, good, "{literal:?}: {why}");
        }
    }

    #[test]
    fn range_of_a_double() {
        #[rustfmt::skip]
        let rows = [
            ("0e99999999999999999999", false, "zero whatever its exponent"),
            ("-0.000e999999999999", false, "zero, negative"),
            ("1e308", false, "below the largest double"),
            ("1e309", true, "above it"),
            ("-1e309", true, "above it, negative"),
            ("1.7976931348623157e308", false, "the largest double, as most languages print it"),
            ("1.7976931348623157E+308", false, "the same, as .NET prints it"),
            ("1.7976931348623158e308", true, "its last digit up"),
            ("1.8e308", true, "few digits, filled up with zeros"),
            ("1.79769313486231570e308", true, "with a digit more, even of zero, some readers reach infinity"),
            ("1.7976931348623156999e308", true, "with more digits, just below"),
            ("1.7976931348623155999e308", false, "with more digits, below all doubt"),
            ("17976931348623157e292", false, "the largest double, without a point"),
            ("17976931348623158e292", true, "above it, without a point"),
            ("0.00017976931348623157e312", false, "leading zeros do not count"),
            ("0.00017976931348623158e312", true, "leading zeros do not count"),
            ("0.0001e312", false, "1e308"),
            ("0.0001e313", true, "1e309"),
            ("100e306", false, "1e308"),
            ("100e307", true, "1e309"),
            ("1e-99999999999999999999", false, "small is zero"),
            ("1e99999999999999999999", true, "an exponent beyond every integer"),
            ("123456789012345678901234567890123456789012345678901234567890", false, "sixty digits"),
        ];
        for (literal, overflows, why) in rows {
            let number = read(literal).unwrap().unwrap();
            assert_eq!(number.overflows(), overflows, "{literal}: {why}");
        }
    }

    #[test]
    fn length() {
        let longest = "1".repeat(usize::from(MAX_NUMBER_BYTES));
        assert!(
            matches!(read(&longest), Ok(Some(_))),
            "the limit itself is inside"
        );
        assert_eq!(
            read(&(longest + "1")).unwrap_err(),
            BodyFault::NumberTooLong,
            "one more is not"
        );
    }

    #[test]
    fn whole_numbers() {
        #[rustfmt::skip]
        let rows = [
            ("0", Some(0), "zero is whole"),
            ("1", Some(1), "one digit"),
            ("2147483647", Some(2_147_483_647), "ten digits"),
            ("12345678901234567", Some(12_345_678_901_234_567), "all digits that are kept"),
            ("123456789012345678", None, "more digits than are kept"),
            ("-0", None, "a sign"),
            ("-1", None, "a sign"),
            ("1.0", None, "a fraction, even of zeros"),
            ("1e2", None, "an exponent"),
            ("0.0", None, "a fraction on zero"),
        ];
        for (literal, value, why) in rows {
            assert_eq!(
                read(literal).unwrap().unwrap().whole_value(),
                value,
                "{literal}: {why}"
            );
        }
    }
}
