//! The judge: what a scenario expects, and what always holds whatever it expects.
//!
//! Always: exactly one record, the same from the log and from filter state; the record is well formed and agrees with
//! what client and upstream saw; what is forwarded is what was sent, byte by byte; no request is completed towards
//! upstream without an allow; no secret in a log, a record, an answer or a header; the gateway is healthy.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::model::{Expect, Framing, Mode, Protocol, Reached};
use super::observed::{Answer, Forwarded, Headers, Observed};
use super::{Case, Request};

/// Every way in which a case was not as it must be.
#[derive(Debug)]
pub struct Failure {
    case: String,
    why: String,
    differences: Vec<String>,
    seen: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.case)?;
        writeln!(f, "  why: {}", self.why)?;
        for difference in &self.differences {
            writeln!(f, "  - {difference}")?;
        }
        write!(f, "  seen: {}", self.seen)
    }
}

impl std::error::Error for Failure {}

/// The differences found so far.
struct Findings(Vec<String>);

impl Findings {
    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }
}

pub(super) fn judge(case: &Case, request: &Request, observed: &Observed) -> Result<(), Failure> {
    let mut findings = Findings(Vec::new());
    let record = one_record(observed, &mut findings);
    answer(case, request, observed, &mut findings);
    forwarded(case, request, observed, record.as_ref(), &mut findings);
    if let Some(record) = &record {
        well_formed(record, &mut findings);
        agrees(case, request, observed, record, &mut findings);
        expected_record(case, request, record, &mut findings);
    }
    secrets(request, observed, &mut findings);
    for trouble in &observed.unhealthy {
        findings
            .0
            .push(format!("the gateway is not healthy: {trouble}"));
    }
    if findings.0.is_empty() {
        return Ok(());
    }
    Err(Failure {
        case: case.name(),
        why: case.scenario.why.clone(),
        differences: findings.0,
        seen: seen(observed),
    })
}

/// The one record of the request, from both places where it is told.
fn one_record(observed: &Observed, findings: &mut Findings) -> Option<Value> {
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

fn answer(case: &Case, request: &Request, observed: &Observed, findings: &mut Findings) {
    let expect = &case.scenario.expect;
    let Some(status) = expect.status.of(case.mode) else {
        return;
    };
    let Some(status) = status else {
        return;
    };
    let Some(answer) = &observed.answer else {
        findings.0.push(format!(
            "no answer reached the client, expected status {status}"
        ));
        return;
    };
    findings.expect(answer.status == *status, || {
        format!("status {}, expected {status}", answer.status)
    });
    let cut = expect
        .cut
        .as_ref()
        .and_then(|cut| cut.of(case.mode))
        .copied()
        .unwrap_or(false);
    findings.expect(answer.complete != cut, || {
        format!(
            "the answer came {}, expected {}",
            whole_or_cut(answer.complete),
            whole_or_cut(!cut)
        )
    });
    for (name, wanted) in &expect.headers {
        if let Some(wanted) = wanted.of(case.mode) {
            matched("answer header", name, wanted, &answer.headers, findings);
        }
    }
    if !expect.headers.contains_key("x-postern-audit-id") {
        matched(
            "answer header",
            "x-postern-audit-id",
            "present",
            &answer.headers,
            findings,
        );
    }
    match expect.code.as_ref().and_then(|code| code.of(case.mode)) {
        Some(code) => refusal(request, answer, code, findings),
        None if !cut && *status == case.scenario.upstream.status => {
            let body = if request.method == "HEAD" {
                String::new()
            } else {
                case.scenario.upstream.whole_body()
            };
            findings.expect(answer.body == body.as_bytes(), || {
                format!(
                    "the client got {:?}, upstream sent {body:?}",
                    String::from_utf8_lossy(&answer.body)
                )
            });
        }
        None => {}
    }
}

fn whole_or_cut(whole: bool) -> &'static str {
    if whole { "whole" } else { "cut short" }
}

/// A refusal in the form of the OpenAI API.
fn refusal(request: &Request, answer: &Answer, code: &str, findings: &mut Findings) {
    matched(
        "refusal header",
        "content-type",
        "application/json",
        &answer.headers,
        findings,
    );
    if request.method == "HEAD" {
        findings.expect(answer.body.is_empty(), || {
            "an answer to HEAD has a body".to_owned()
        });
        return;
    }
    let body: Value = match serde_json::from_slice(&answer.body) {
        Ok(body) => body,
        Err(e) => {
            findings.0.push(format!(
                "the refusal is not JSON ({e}): {:?}",
                String::from_utf8_lossy(&answer.body)
            ));
            return;
        }
    };
    let error = &body["error"];
    let seen = error["code"].as_str().map(str::as_bytes);
    findings.expect(matches(code, seen), || {
        format!("error.code {}, expected {code}", error["code"])
    });
    findings.expect(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        || format!("error.message is {}", error["message"]),
    );
    findings.expect(
        error["type"].as_str().is_some_and(|text| !text.is_empty()),
        || format!("error.type is {}", error["type"]),
    );
    findings.expect(error.get("param").is_some(), || {
        "error.param is missing".to_owned()
    });
}

fn forwarded(
    case: &Case,
    request: &Request,
    observed: &Observed,
    record: Option<&Value>,
    findings: &mut Findings,
) {
    let expect = &case.scenario.expect;
    let body = request.body_bytes();
    for sent in &observed.forwarded {
        findings.expect(body.starts_with(&sent.body), || {
            format!(
                "upstream got {} bytes that are no beginning of the {} sent",
                sent.body.len(),
                body.len()
            )
        });
        let allowed = record.is_some_and(|record| record["decision"] == "allow");
        findings.expect(allowed || !sent.complete, || {
            "a complete request went out without an allow".to_owned()
        });
        findings.expect(allowed || expect.released || sent.body.is_empty(), || {
            format!(
                "{} bytes of body went out without an allow",
                sent.body.len()
            )
        });
        if record.is_some_and(|record| !record["caller"].is_null()) {
            matched(
                "upstream header",
                "authorization",
                "absent",
                &sent.headers,
                findings,
            );
            let token = request.token.as_deref().unwrap_or("\0");
            findings.expect(
                !sent
                    .headers
                    .iter()
                    .any(|(_, value)| String::from_utf8_lossy(value).contains(token)),
                || "the token went to upstream in a header".to_owned(),
            );
        }
    }
    match expect.upstream.of(case.mode) {
        Some(Reached::Whole) => {
            findings.expect(observed.forwarded.len() == 1, || {
                format!("upstream saw {} requests", observed.forwarded.len())
            });
            if let Some(sent) = observed.forwarded.first() {
                whole(case, request, sent, findings);
            }
        }
        Some(Reached::Nothing) => findings.expect(observed.forwarded.is_empty(), || {
            format!(
                "upstream saw {} requests, expected nothing",
                observed.forwarded.len()
            )
        }),
        Some(Reached::Unfinished) => {
            for sent in &observed.forwarded {
                findings.expect(!sent.complete, || {
                    "upstream saw a complete request".to_owned()
                });
                // Without a declared length it is the final chunk or END_STREAM that is held back.
                let cut = request.framing == Framing::Chunked || sent.body.len() < body.len();
                findings.expect(body.is_empty() || cut, || {
                    "upstream saw every byte of the body, its end was not held back".to_owned()
                });
            }
        }
        None => {}
    }
    for (name, wanted) in &expect.upstream_headers {
        match (wanted.of(case.mode), observed.forwarded.first()) {
            (Some(wanted), Some(sent)) => {
                matched("upstream header", name, wanted, &sent.headers, findings)
            }
            (Some(_), None) => findings
                .0
                .push(format!("upstream header {name}: upstream saw no request")),
            (None, _) => {}
        }
    }
}

fn whole(case: &Case, request: &Request, sent: &Forwarded, findings: &mut Findings) {
    findings.expect(sent.complete, || {
        "the request towards upstream is not complete".to_owned()
    });
    findings.expect(sent.body == request.body_bytes(), || {
        format!(
            "upstream got {} of {} bytes",
            sent.body.len(),
            request.body_bytes().len()
        )
    });
    findings.expect(sent.method == request.method, || {
        format!("upstream saw method {}", sent.method)
    });
    findings.expect(sent.path == request.path, || {
        format!("upstream saw path {}", sent.path)
    });
    // The gateway's buffer filter tells a length, and an HTTP/1.1 request with a length has no trailers.
    let lost = case.mode == Mode::Buffer && case.protocol == Protocol::H1;
    for (name, value) in request.trailers.iter().filter(|_| !lost) {
        let seen: Vec<&[u8]> = values(&sent.trailers, name);
        let ours = name
            .to_ascii_lowercase()
            .replace('_', "-")
            .starts_with("x-postern-");
        let wanted: &[&[u8]] = if ours { &[] } else { &[value.as_slice()] };
        findings.expect(seen == wanted, || {
            format!(
                "upstream saw trailer {name} {} times, expected {}",
                seen.len(),
                wanted.len()
            )
        });
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
fn well_formed(record: &Value, findings: &mut Findings) {
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
            &["name", "issuer", "subject", "tenant"],
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
fn agrees(
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

fn expected_record(case: &Case, request: &Request, record: &Value, findings: &mut Findings) {
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

fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a [u8]> {
    headers
        .iter()
        .filter(|(seen, _)| seen == name)
        .map(|(_, value)| value.as_slice())
        .collect()
}

fn matched(place: &str, name: &str, wanted: &str, headers: &Headers, findings: &mut Findings) {
    let seen = values(headers, name);
    let shown: Vec<_> = seen
        .iter()
        .map(|value| String::from_utf8_lossy(value))
        .collect();
    findings.expect(
        seen.len() <= 1 && matches(wanted, seen.first().copied()),
        || format!("{place} {name}: {shown:?}, expected {wanted}"),
    );
}

/// `absent`, `present`, `contains:x`, `starts:x`, `any:a|b`, or the text itself.
fn matches(wanted: &str, seen: Option<&[u8]>) -> bool {
    let text = seen.map(String::from_utf8_lossy);
    match (wanted, text) {
        ("absent", seen) => seen.is_none(),
        (_, None) => false,
        ("present", Some(_)) => true,
        (wanted, Some(seen)) => {
            if let Some(part) = wanted.strip_prefix("contains:") {
                seen.contains(part)
            } else if let Some(start) = wanted.strip_prefix("starts:") {
                seen.starts_with(start)
            } else if let Some(choice) = wanted.strip_prefix("any:") {
                choice.split('|').any(|one| one == seen)
            } else {
                seen == wanted
            }
        }
    }
}

/// No secret in what is written down or answered by us, and none in a header towards upstream.
fn secrets(request: &Request, observed: &Observed, findings: &mut Findings) {
    let mut places: Vec<(&str, String)> = vec![("log", observed.log.clone())];
    places.extend(
        observed
            .state_records
            .iter()
            .map(|record| ("record in filter state", record.clone())),
    );
    places.extend(
        observed
            .log_records
            .iter()
            .map(|record| ("record in the log", record.clone())),
    );
    places.extend(
        observed
            .details
            .iter()
            .map(|details| ("details", details.clone())),
    );
    if let Some(answer) = &observed.answer {
        places.push(("answer", String::from_utf8_lossy(&answer.body).into_owned()));
        places.extend(answer.headers.iter().map(|(name, value)| {
            (
                "answer header",
                format!("{name}: {}", String::from_utf8_lossy(value)),
            )
        }));
    }
    for (place, text) in places {
        for secret in &request.secrets {
            findings.expect(!text.contains(secret.as_str()), || {
                format!("a secret ({} bytes) stands in the {place}", secret.len())
            });
        }
    }
}

fn seen(observed: &Observed) -> String {
    let answer = match &observed.answer {
        None => "no answer".to_owned(),
        Some(answer) => format!(
            "{} {} {:?}",
            answer.status,
            whole_or_cut(answer.complete),
            short(&String::from_utf8_lossy(&answer.body))
        ),
    };
    let forwarded: Vec<String> = observed
        .forwarded
        .iter()
        .map(|sent| {
            let headers: Vec<String> = sent
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
                .collect();
            format!(
                "{} bytes, complete: {}, {headers:?}",
                sent.body.len(),
                sent.complete
            )
        })
        .collect();
    format!(
        "answer {answer}\n  upstream: {forwarded:?}\n  records: {:?}",
        observed.log_records
    )
}

fn short(text: &str) -> String {
    text.chars().take(400).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_values_match_as_the_format_says() {
        for (wanted, seen, holds) in [
            ("absent", None, true),
            ("absent", Some("x"), false),
            ("present", Some(""), true),
            ("present", None, false),
            ("contains:b", Some("abc"), true),
            ("contains:d", Some("abc"), false),
            ("starts:a", Some("abc"), true),
            ("starts:b", Some("abc"), false),
            ("any:a|b", Some("b"), true),
            ("any:a|b", Some("c"), false),
            ("exact", Some("exact"), true),
            ("exact", Some("exactly"), false),
        ] {
            assert_eq!(
                matches(wanted, seen.map(str::as_bytes)),
                holds,
                "{wanted} {seen:?}"
            );
        }
    }

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
