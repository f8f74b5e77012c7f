//! How long an answer is fresh, by its own headers (RFC 9111 section 4.2).
//!
//! Decided here: `Cache-Control` (`max-age`, `no-store`, `no-cache`) and `Age` shorten the time to the next fetch; they never
//! make it longer than the policy's refresh, nor shorter than [`MIN_FRESH_MS`] where the policy does not say less, so that no
//! answer can make the gateways of a fleet storm its own source. `Expires`, `Pragma` and `s-maxage` are passed over: the
//! first needs the source's clock, the second is for requests, and no cache is shared here.

/// The shortest time between two fetches that succeed, in milliseconds, whatever the answer says; the policy's refresh where
/// that is shorter.
pub const MIN_FRESH_MS: u64 = 10_000;

/// Until the next fetch, in milliseconds. `refresh_ms` is the upper bound, and what holds when the answer says nothing that
/// can be read.
pub(super) fn fresh_ms(cache_control: Option<&[u8]>, age: Option<&[u8]>, refresh_ms: u64) -> u64 {
    let Some(seconds) = cache_control.and_then(max_age) else {
        return refresh_ms;
    };
    // An `Age` that is no number is passed over (RFC 9111 section 5.1).
    let age = age.and_then(delta_seconds).unwrap_or(0);
    seconds
        .saturating_sub(age)
        .saturating_mul(1000)
        .max(MIN_FRESH_MS)
        .min(refresh_ms)
}

/// The smallest `max-age` in seconds; zero for `no-store` and `no-cache`, with a field name or without. A directive that
/// cannot be read says nothing.
fn max_age(value: &[u8]) -> Option<u64> {
    let mut smallest: Option<u64> = None;
    for directive in directives(value) {
        let (name, argument) = match directive.iter().position(|b| *b == b'=') {
            Some(at) => (directive.get(..at)?, directive.get(at.saturating_add(1)..)),
            None => (directive, None),
        };
        let name = name.trim_ascii();
        let found = if name.eq_ignore_ascii_case(b"max-age") {
            argument.and_then(|argument| delta_seconds(unquoted(argument.trim_ascii())))
        } else if name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"no-cache") {
            Some(0)
        } else {
            None
        };
        if let Some(found) = found {
            smallest = Some(smallest.map_or(found, |known| known.min(found)));
        }
    }
    smallest
}

/// Cuts a list at its commas, but not at those inside of quoted strings (RFC 9110 sections 5.6.1 and 5.6.4).
fn directives(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    enum At {
        Plain,
        Quoted,
        Escaped,
    }
    let mut at = At::Plain;
    value.split(move |byte| {
        at = match (&at, byte) {
            (At::Plain, b',') => return true,
            (At::Plain, b'"') => At::Quoted,
            (At::Plain, _) => At::Plain,
            (At::Quoted, b'"') => At::Plain,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, _) => At::Quoted,
        };
        false
    })
}

fn unquoted(argument: &[u8]) -> &[u8] {
    argument
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(argument)
}

/// Digits (RFC 9111 section 1.2.2); what is too large for us is as large as can be.
fn delta_seconds(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit.saturating_sub(b'0')))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_family = "wasm")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const REFRESH: u64 = 300_000;

    #[test]
    fn the_answer_shortens_the_time_within_bounds() {
        for (why, cache_control, age, expected) in [
            ("no header: the policy's", None, None, REFRESH),
            ("plain", Some("max-age=60"), None, 60_000),
            (
                "quoted (RFC 9111 section 5.2)",
                Some("max-age=\"60\""),
                None,
                60_000,
            ),
            (
                "in any case, among others",
                Some("Public, MAX-AGE=60, must-revalidate"),
                None,
                60_000,
            ),
            (
                "white space",
                Some(" public ,\t max-age = 60 "),
                None,
                60_000,
            ),
            (
                "longer than the policy allows",
                Some("max-age=86400"),
                None,
                REFRESH,
            ),
            (
                "exactly the lower bound",
                Some("max-age=10"),
                None,
                MIN_FRESH_MS,
            ),
            (
                "below the lower bound",
                Some("max-age=9"),
                None,
                MIN_FRESH_MS,
            ),
            ("zero", Some("max-age=0"), None, MIN_FRESH_MS),
            ("no-store", Some("no-store"), None, MIN_FRESH_MS),
            (
                "no-store beside an age",
                Some("max-age=60, no-store"),
                None,
                MIN_FRESH_MS,
            ),
            ("no-cache", Some("max-age=60, no-cache"), None, MIN_FRESH_MS),
            (
                "no-cache for one field: strictly",
                Some("no-cache=\"set-cookie, x\", max-age=60"),
                None,
                MIN_FRESH_MS,
            ),
            (
                "repeated: the smallest",
                Some("max-age=60, max-age=30, max-age=90"),
                None,
                30_000,
            ),
            (
                "overflow is the largest, and bounded",
                Some("max-age=99999999999999999999999"),
                None,
                REFRESH,
            ),
            (
                "overflow of the milliseconds",
                Some("max-age=18446744073709551615"),
                None,
                REFRESH,
            ),
            ("negative is garbage", Some("max-age=-1"), None, REFRESH),
            ("a fraction is garbage", Some("max-age=1.5"), None, REFRESH),
            ("a sign is garbage", Some("max-age=+60"), None, REFRESH),
            ("no value", Some("max-age"), None, REFRESH),
            ("empty value", Some("max-age="), None, REFRESH),
            (
                "garbage beside what can be read",
                Some("max-age=x, max-age=60"),
                None,
                60_000,
            ),
            (
                "inside of a quoted string it is no directive",
                Some("ext=\"a, max-age=20\", max-age=60"),
                None,
                60_000,
            ),
            (
                "an escaped quote does not end the string",
                Some("ext=\"a\\\", max-age=20\", max-age=60"),
                None,
                60_000,
            ),
            (
                "a string that never ends hides the rest",
                Some("ext=\"a, max-age=60"),
                None,
                REFRESH,
            ),
            (
                "a name that only ends like it",
                Some("x-max-age=20"),
                None,
                REFRESH,
            ),
            ("for shared caches", Some("s-maxage=20"), None, REFRESH),
            ("empty", Some(""), None, REFRESH),
            ("only commas", Some(",,,"), None, REFRESH),
            (
                "what was spent on the way",
                Some("max-age=60"),
                Some("20"),
                40_000,
            ),
            (
                "all was spent",
                Some("max-age=60"),
                Some("61"),
                MIN_FRESH_MS,
            ),
            (
                "an age that overflows",
                Some("max-age=60"),
                Some("99999999999999999999999"),
                MIN_FRESH_MS,
            ),
            (
                "an age that is no number",
                Some("max-age=60"),
                Some("-20"),
                60_000,
            ),
            ("an age alone says nothing", None, Some("20"), REFRESH),
        ] {
            let found = fresh_ms(
                cache_control.map(str::as_bytes),
                age.map(str::as_bytes),
                REFRESH,
            );
            assert_eq!(found, expected, "{why}");
        }
    }

    #[test]
    fn a_policy_that_asks_more_often_than_any_answer_may_is_followed() {
        let often = MIN_FRESH_MS / 5;
        for (why, cache_control) in [
            ("no header", None),
            ("an answer asks for less", Some("no-store")),
            ("an answer allows more", Some("max-age=60")),
        ] {
            let found = fresh_ms(cache_control.map(str::as_bytes), None, often);
            assert_eq!(found, often, "{why}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_say_nothing() {
        assert_eq!(
            fresh_ms(Some(b"max-age=\xff"), Some(b"\x80"), REFRESH),
            REFRESH
        );
        assert_eq!(
            fresh_ms(Some(b"\xff\xfe, max-age=60"), None, REFRESH),
            60_000
        );
    }
}
