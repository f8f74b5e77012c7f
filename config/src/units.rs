//! Durations and sizes as the policy writes them. Zero is an error and never "no limit".

use crate::read::{At, Problems, text};
use postern_core::json::Json;

/// A duration such as `30s`, in milliseconds.
pub(crate) fn duration(at: &At<'_>, problems: &mut Problems) -> Option<u64> {
    const UNITS: &[(&str, u64)] = &[
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    let written = text(at, problems)?;
    match scaled(written, UNITS) {
        Some(0) => at.refuse(problems, "must not be zero"),
        Some(millis) => Some(millis),
        None => at.refuse(
            problems,
            format!("`{written}` is no duration; write it as 500ms, 30s, 5m, 24h or 7d"),
        ),
    }
}

/// Milliseconds as seconds, rounded down: the strict side for a leeway and for a lifetime.
pub(crate) fn whole_seconds(millis: u64) -> u64 {
    millis.checked_div(1000).unwrap_or_default()
}

/// A size such as `32MiB`, or a number of bytes, in bytes.
pub(crate) fn size(at: &At<'_>, problems: &mut Problems) -> Option<u64> {
    const UNITS: &[(&str, u64)] = &[
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
    ];
    let bytes = match at.json() {
        Json::Number(_) => at.json().as_u64(),
        _ => scaled(text(at, problems)?, UNITS),
    };
    match bytes {
        Some(0) => at.refuse(problems, "must not be zero"),
        Some(bytes) => Some(bytes),
        None => at.refuse(
            problems,
            "is no size; write it as 64KiB, 32MiB or a number of bytes",
        ),
    }
}

fn scaled(written: &str, units: &[(&str, u64)]) -> Option<u64> {
    units.iter().find_map(|(unit, scale)| {
        let digits = written.strip_suffix(unit)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse::<u64>().ok()?.checked_mul(*scale)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        let rows: &[(&str, bool, Option<u64>, &str)] = &[
            ("\"30s\"", true, Some(30_000), "seconds"),
            ("\"500ms\"", true, Some(500), "not minutes"),
            ("\"5m\"", true, Some(300_000), "minutes"),
            ("\"0s\"", true, None, "zero is no limit, so an error"),
            ("\"-1s\"", true, None, "negative"),
            ("\"1.5h\"", true, None, "whole numbers"),
            ("\"99999999999999999d\"", true, None, "overflow"),
            ("30", true, None, "a unit is needed"),
            ("\"32MiB\"", false, Some(32 << 20), "mebibytes"),
            ("1024", false, Some(1024), "bytes"),
            ("0", false, None, "zero"),
            ("\"32MB\"", false, None, "one meaning per unit"),
        ];
        for (json, is_duration, expected, why) in rows {
            let tree = Json::parse(json.as_bytes(), 4).unwrap();
            let mut problems = Problems::default();
            let at = &At::root(&tree);
            let seen = if *is_duration {
                duration(at, &mut problems)
            } else {
                size(at, &mut problems)
            };
            assert_eq!(seen, *expected, "{json}: {why}");
            assert_eq!(
                problems.is_empty(),
                expected.is_some(),
                "{json}: a refusal has a reason"
            );
        }
    }
}
