//! Verdicts, printed: lines for people and their editors, or JSON for programs.
//!
//! One verdict or problem is one line, whatever names stand in it: what is not printable is escaped.

use crate::check::{Outcome, Verdict};
use crate::input::Form;
use std::io::{self, Write};

/// Lines: `FILE: path: message` for each problem, `FILE: ok (…)` for a good policy; unread files to `errors`.
///
/// # Errors
/// Those of the two writers.
pub(crate) fn text(
    verdicts: &[Verdict],
    mut out: impl Write,
    mut errors: impl Write,
) -> io::Result<()> {
    for verdict in verdicts {
        let file = match verdict.document {
            Some(number) => format!("{} (document {number})", verdict.file),
            None => verdict.file.clone(),
        };
        match &verdict.outcome {
            Outcome::Good(summary) => {
                let made = match summary.digest_of {
                    Form::Input => "",
                    Form::MadeJson => " of the JSON made from it",
                };
                line(
                    &mut out,
                    &format!(
                        "{file}: ok ({}, {}, policy {}{made})",
                        counted(summary.routes, "route"),
                        counted(summary.rules, "rule"),
                        summary.policy,
                    ),
                )?;
            }
            Outcome::Bad { problems } => {
                for problem in problems {
                    line(
                        &mut out,
                        &format!("{file}: {}: {}", problem.path, problem.message),
                    )?;
                }
            }
            Outcome::NotChecked { kind } => {
                line(&mut out, &format!("{file}: not checked, a {kind}"))?;
            }
            Outcome::Unread { reason } => {
                line(&mut errors, &format!("{file}: cannot be read: {reason}"))?;
            }
        }
    }
    out.flush()
}

/// All verdicts as one JSON list.
///
/// # Errors
/// Those of the writer.
pub(crate) fn json(verdicts: &[Verdict], mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, verdicts)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn line(out: &mut impl Write, text: &str) -> io::Result<()> {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    writeln!(out, "{shown}")
}

fn counted(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
