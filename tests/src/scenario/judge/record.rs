//! The record of a case: its form, that it agrees with what client and upstream saw, and what the scenario expects of it.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Findings, matches, values};
use crate::scenario::model::Expect;
use crate::scenario::observed::Observed;
use crate::scenario::{Case, Request};

/// The one record of the request, from both places where it is told.
pub(super) fn one_record(observed: &Observed, findings: &mut Findings) -> Option<Value> {
    findings.expect(observed.log_records.len() == 1, || {
        format!("{} records in the log, not one", observed.log_records.len())
    });
    findings.expect(observed.state_records.len() == 1, || {
        format!(
            "{} records in filter state, not one",
            observed.state_records.len()
        )
    });
    let text = observed
        .log_records
        .first()
        .or(observed.state_records.first())?;
    if let (Some(log), Some(state)) = (observed.log_records.first(), observed.state_records.first())
    {
        findings.expect(log == state, || {
            format!("the log's record and the filter state's differ:\n    {log}\n    {state}")
        });
    }
    match serde_json::from_str(text) {
        Ok(record) => Some(record),
        Err(e) => {
            findings
                .0
                .push(format!("the record is not JSON ({e}): {text}"));
            None
        }
    }
}
const MEMBERS: &[&str] = &[
    "v",
    "time",
    "id",
    "instance",
    "policy",
    "requestId",
    "traceparent",
    "route",
    "operation",
    "model",
    "method",
    "path",
    "caller",
    "peer",
    "decision",
    "rule",
    "refusal",
    "fault",
    "request",
    "response",
    "durationMs",
];

/// The form of a record: every member, no other, each of its kind.
pub(super) fn well_formed(record: &Value, findings: &mut Findings) {
    members(record, "record", MEMBERS, findings);
    members(
        &record["request"],
        "record.request",
        &["bytes", "complete", "digest"],
        findings,
    );
    members(
        &record["response"],
        "record.response",
        &["status", "bytes", "details", "flags"],
        findings,
    );
    if !record["caller"].is_null() {
        members(
            &record["caller"],
            "record.caller",
            &[
                "name",
                "credential",
                "issuer",
                "apiKey",
                "subject",
                "tenant",
            ],
            findings,
        );
    }
    if !record["peer"].is_null() {
        members(
            &record["peer"],
            "record.peer",
            &["uri", "forwardedBy"],
            findings,
        );
    }
    findings.expect(record["v"] == 1, || format!("record.v is {}", record["v"]));
    findings.expect(timestamp(&record["time"]), || {
        format!("record.time is {}", record["time"])
    });
    findings.expect(
        record["id"].as_str().is_some_and(|id| id.len() >= 16),
        || format!("record.id is {}", record["id"]),
    );
    findings.expect(digest(&record["policy"]), || {
        format!("record.policy is {}", record["policy"])
    });
    findings.expect(
        record["request"]["digest"].is_null() || digest(&record["request"]["digest"]),
        || format!("record.request.digest is {}", record["request"]["digest"]),
    );
    findings.expect(record["durationMs"].is_u64(), || {
        format!("record.durationMs is {}", record["durationMs"])
    });
    findings.expect(
        !record["path"]
            .as_str()
            .is_some_and(|path| path.contains('?')),
        || "record.path carries the query".to_owned(),
    );
    let refused = record["decision"] == "refuse";
    findings.expect(
        ["allow", "refuse", "none"]
            .iter()
            .any(|decision| record["decision"] == *decision),
        || format!("record.decision is {}", record["decision"]),
    );
    findings.expect(refused == record["refusal"].is_string(), || {
        format!(
            "decision {} with refusal {}",
            record["decision"], record["refusal"]
        )
    });
    findings.expect(refused == record["fault"].is_string(), || {
        format!(
            "decision {} with fault {}",
            record["decision"], record["fault"]
        )
    });
}

fn members(value: &Value, place: &str, wanted: &[&str], findings: &mut Findings) {
    let Some(object) = value.as_object() else {
        findings.0.push(format!("{place} is no object: {value}"));
        return;
    };
    let seen: BTreeSet<&str> = object.keys().map(String::as_str).collect();
    let wanted: BTreeSet<&str> = wanted.iter().copied().collect();
    findings.expect(seen == wanted, || {
        format!(
            "{place}: missing {:?}, unknown {:?}",
            wanted.difference(&seen).collect::<Vec<_>>(),
            seen.difference(&wanted).collect::<Vec<_>>()
        )
    });
}

/// `2026-11-22T04:04:23.123Z`
fn timestamp(value: &Value) -> bool {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd.dddZ";
    value.as_str().is_some_and(|text| {
        text.len() == FORM.len()
            && text.bytes().zip(FORM).all(|(seen, form)| {
                if *form == b'd' {
                    seen.is_ascii_digit()
                } else {
                    seen == *form
                }
            })
    })
}

/// `sha-256=` and 64 lower-case hex digits.
fn digest(value: &Value) -> bool {
    value
        .as_str()
        .and_then(|text| text.strip_prefix("sha-256="))
        .is_some_and(|hex| {
            hex.len() == 64
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
}

/// The record tells what client and upstream saw.
pub(super) fn agrees(
    case: &Case,
    request: &Request,
    observed: &Observed,
    record: &Value,
    findings: &mut Findings,
) {
    let id = record["id"].as_str().unwrap_or_default();
    if let Some(answer) = &observed.answer {
        let seen = values(&answer.headers, "x-postern-audit-id");
        // A request that the gateway refuses before us has a record and no id; a scenario says so where it is so.
        let before_us = case
            .scenario
            .expect
            .headers
            .contains_key("x-postern-audit-id");
        findings.expect(before_us || seen == [id.as_bytes()], || {
            format!("x-postern-audit-id of the answer is not the record's id {id}")
        });
        findings.expect(record["response"]["status"] == answer.status, || {
            format!(
                "record.response.status {}, the client saw {}",
                record["response"]["status"], answer.status
            )
        });
    }
    for sent in &observed.forwarded {
        let seen = values(&sent.headers, "x-postern-audit-id");
        findings.expect(seen == [id.as_bytes()], || {
            format!("x-postern-audit-id towards upstream is not the record's id {id}")
        });
    }
    if let (Some(details), Some(recorded)) =
        (&observed.details, record["response"]["details"].as_str())
    {
        findings.expect(details == recorded, || {
            format!("record.response.details {recorded}, the gateway's {details}")
        });
    }
    let complete = record["request"]["complete"] == true;
    let hash = &record["request"]["digest"];
    if let Some(sent) = observed.forwarded.iter().find(|sent| sent.complete) {
        findings.expect(complete, || {
            "upstream saw a complete request, the record says incomplete".to_owned()
        });
        findings.expect(hash.is_null() || *hash == sha256(&sent.body), || {
            format!(
                "record.request.digest {hash} is not of the {} bytes forwarded",
                sent.body.len()
            )
        });
    } else {
        findings.expect(hash.is_null(), || {
            "a digest is recorded though nothing complete was forwarded".to_owned()
        });
    }
    if case.scenario.request.path != "*" {
        let path = request.path.split(['?', '#']).next().unwrap_or_default();
        findings.expect(
            record["path"].is_null()
                || record["path"]
                    .as_str()
                    .is_some_and(|seen| path.starts_with(seen) || seen == path),
            || format!("record.path {}, requested {path}", record["path"]),
        );
    }
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha-256={hex}")
}

pub(super) fn expected_record(
    case: &Case,
    request: &Request,
    record: &Value,
    findings: &mut Findings,
) {
    let Expect {
        record: wanted,
        details,
        ..
    } = &case.scenario.expect;
    for (path, each) in wanted {
        let Some(wanted) = each.of(case.mode) else {
            continue;
        };
        let mut seen = record;
        for step in path.split('.') {
            seen = &seen[step];
        }
        let holds = match (wanted, seen) {
            (Value::String(text), Value::Number(number)) if text == "body" => {
                number.as_u64() == u64::try_from(request.body_bytes().len()).ok()
            }
            (Value::String(text), _) if text == "body" => *seen == sha256(request.body_bytes()),
            (Value::String(text), Value::String(seen)) => matches(text, Some(seen.as_bytes())),
            (Value::String(text), _) if text == "present" => !seen.is_null(),
            (wanted, seen) => wanted == seen,
        };
        findings.expect(holds, || {
            format!("record.{path} is {seen}, expected {wanted}")
        });
    }
    if let Some(wanted) = details.as_ref().and_then(|details| details.of(case.mode)) {
        let seen = record["response"]["details"].as_str();
        findings.expect(matches(wanted, seen.map(str::as_bytes)), || {
            format!("response code details {seen:?}, expected {wanted}")
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_out_of_form_is_found() {
        let mut findings = Findings(Vec::new());
        well_formed(
            &serde_json::json!({"v": 2, "time": "yesterday"}),
            &mut findings,
        );
        assert!(findings.0.len() >= 5, "{:?}", findings.0);
    }

    #[test]
    fn times_and_digests_have_one_form() {
        assert!(timestamp(&"2026-11-22T04:04:23.123Z".into()));
        assert!(!timestamp(&"2026-11-22T04:04:23Z".into()));
        assert!(digest(&sha256(b"").into()));
        assert!(!digest(&"sha-256=ABC".into()));
    }
}
