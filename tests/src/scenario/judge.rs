//! The judge: what a scenario expects, and what always holds whatever it expects.
//!
//! Always: exactly one record, the same from the log and from filter state; the record is well formed and agrees with
//! what client and upstream saw; what is forwarded is what was sent, byte by byte; no request is completed towards
//! upstream without an allow; no secret in a log, a record, an answer or a header; the gateway is healthy.

mod record;

use std::fmt;

use serde_json::Value;

use self::record::{agrees, expected_record, one_record, well_formed};
use super::model::{Framing, Mode, Protocol, Reached};
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
#[derive(Debug)]
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
            credentials(case, request, sent, findings);
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
            (Some(wanted), Some(sent)) => matched(
                "upstream header",
                name,
                &told(wanted, request),
                &sent.headers,
                findings,
            ),
            (Some(_), None) => findings
                .0
                .push(format!("upstream header {name}: upstream saw no request")),
            (None, _) => {}
        }
    }
}

/// No credential goes on to upstream, but where the scenario names the place.
fn credentials(case: &Case, request: &Request, sent: &Forwarded, findings: &mut Findings) {
    let expect = &case.scenario.expect;
    let kept = |name: &str| expect.upstream_headers.contains_key(name);
    for name in ["authorization", "dpop"] {
        if !kept(name) {
            matched("upstream header", name, "absent", &sent.headers, findings);
        }
    }
    let Some(token) = request.token.as_deref() else {
        return;
    };
    findings.expect(
        !sent
            .headers
            .iter()
            .any(|(name, value)| !kept(name) && String::from_utf8_lossy(value).contains(token)),
        || "the token went to upstream in a header".to_owned(),
    );
    findings.expect(
        expect.upstream_path.is_some() || !sent.path.contains(token),
        || "the token went to upstream in the path".to_owned(),
    );
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
    let path = case.scenario.expect.upstream_path.as_ref();
    let path = path.and_then(|path| path.of(case.mode));
    let path = path.map_or(request.path.clone(), |path| told(path, request));
    findings.expect(sent.path == path, || {
        format!("upstream saw path {}, expected {path}", sent.path)
    });
    // The gateway's buffer filter tells a length, and an HTTP/1.1 request with a length has no trailers.
    let lost = case.mode == Mode::Buffer && case.protocol == Protocol::H1;
    let named = &case.scenario.expect.upstream_trailers;
    for (name, wanted) in named.iter().filter(|_| !lost) {
        if let Some(wanted) = wanted.of(case.mode) {
            matched("upstream trailer", name, wanted, &sent.trailers, findings);
        }
    }
    let others = request
        .trailers
        .iter()
        .filter(|(name, _)| !lost && !named.contains_key(name));
    for (name, value) in others {
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
/// A wanted text with the token of the request in its place.
fn told(wanted: &str, request: &Request) -> String {
    match &request.token {
        Some(token) => wanted.replace("${token}", token),
        None => wanted.to_owned(),
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
    fn a_token_reaches_upstream_only_where_the_scenario_names_the_place() {
        use serde_json::json;
        // (expectation besides, path and header that upstream saw, findings)
        for (more, path, header, count) in [
            (json!({}), "/v1/models", ("x-other", "1"), 0),
            (
                json!({}),
                "/v1/models",
                ("authorization", "Bearer ${token}"),
                2,
            ),
            (json!({}), "/v1/models", ("cookie", "a=${token}"), 1),
            (json!({}), "/v1/models?key=${token}", ("x-other", "1"), 1),
            (
                json!({ "upstream_headers": { "authorization": "Bearer ${token}" } }),
                "/v1/models",
                ("authorization", "Bearer ${token}"),
                0,
            ),
            (
                json!({ "upstream_headers": { "authorization": "present" } }),
                "/v1/models",
                ("x-api-key", "${token}"),
                1,
            ),
            (
                json!({ "upstream_path": "/v1/models?key=${token}" }),
                "/v1/models?key=${token}",
                ("x-other", "1"),
                0,
            ),
        ] {
            let mut expect = json!({ "status": 200, "upstream": "whole" });
            for (name, value) in more.as_object().unwrap() {
                expect[name] = value.clone();
            }
            let case = Case::of(json!({ "path": "/v1/models" }), expect);
            let request = case.request(1_800_000_000).unwrap();
            let (name, value) = header;
            let sent = Forwarded {
                path: told(path, &request),
                headers: vec![(name.to_owned(), told(value, &request).into_bytes())],
                ..Forwarded::default()
            };
            let mut findings = Findings(Vec::new());
            credentials(&case, &request, &sent, &mut findings);
            assert_eq!(
                findings.0.len(),
                count,
                "{more} {path} {header:?}: {findings:?}"
            );
        }
    }

    #[test]
    fn the_path_towards_upstream_is_the_one_sent_or_the_one_named() {
        use serde_json::json;
        for (named, seen, holds) in [
            (None, "/a?key=1", true),
            (None, "/a", false),
            (Some("/a"), "/a", true),
            (Some("/a"), "/a?key=1", false),
        ] {
            let mut expect = json!({ "status": 200, "upstream": "whole" });
            if let Some(named) = named {
                expect["upstream_path"] = json!(named);
            }
            let case = Case::of(json!({ "path": "/a?key=1" }), expect);
            let request = case.request(1_800_000_000).unwrap();
            let sent = Forwarded {
                method: request.method.clone(),
                path: seen.to_owned(),
                complete: true,
                ..Forwarded::default()
            };
            let mut findings = Findings(Vec::new());
            whole(&case, &request, &sent, &mut findings);
            assert_eq!(
                findings.0.is_empty(),
                holds,
                "{named:?} {seen}: {findings:?}"
            );
        }
    }
}
