//! `postern`: the gateway's own reading of things, on the command line.
//!
//! Decided here: what may be asked, and the exit status: 0 all is good, 1 something is wrong with what was read, 2 it could
//! not be read or the question is none. Not decided here: what a good policy is (`postern-config`, the same code as in the
//! module).
//!
//! | file | what it does |
//! |---|---|
//! | `input` | files and standard input, as documents: JSON, YAML |
//! | `manifest` | what an Istio WasmPlugin hands to the module |
//! | `check` | the verdict on each document |
//! | `report` | verdicts as text or JSON |

#![forbid(unsafe_code)]

mod check;
mod input;
mod manifest;
mod report;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// What the environment of the plugin holds, by name.
pub(crate) type Environment = BTreeMap<String, String>;

/// Tools for Postern, the guarded gate in front of AI models.
#[derive(Debug, Parser)]
#[command(name = "postern", version = version())]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Says whether policies load, and every problem of those that do not
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// A policy as JSON or YAML, or an Istio WasmPlugin that carries one; `-` is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// A variable of the plugin's environment, for `${NAME}` in the policy; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
        env: Vec<(String, String)>,
        /// How verdicts are printed
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// How verdicts are printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One line for each problem: `FILE: path: message`
    Text,
    /// One JSON list, with an entry for each policy
    Json,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  postern check policy.yaml --env POD_NAME=gateway-0
  postern check istio/wasmplugin.yaml
  kubectl get wasmplugin postern -o yaml | postern check -
  postern check --format json policies/*.yaml

A WasmPlugin brings its environment along (vmConfig.env); for variables with `valueFrom: HOST`, which are taken as set,
--env may say the value. Other resources in the same file are named and not checked.

The digest of a policy is that of the JSON text which the module gets. For JSON it is the digest of the file as it is. From
YAML this command makes JSON, and the digest is of that: a gateway that turns the same YAML into other JSON names another one.

Exit status: 0 every policy loads, 1 one does not, 2 something could not be read.";

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return tell(&told),
    };
    match arguments.question {
        Question::Check { files, env, format } => {
            let environment = match distinct(env) {
                Ok(environment) => environment,
                Err(told) => return tell(&told),
            };
            let verdicts: Vec<_> = files
                .iter()
                .flat_map(|file| check::verdicts(file, &environment))
                .collect();
            let written = match format {
                Format::Text => report::text(&verdicts, io::stdout().lock(), io::stderr().lock()),
                Format::Json => report::json(&verdicts, io::stdout().lock()),
            };
            match written {
                Ok(()) => ExitCode::from(check::status(&verdicts)),
                Err(_) => ExitCode::from(check::UNREAD),
            }
        }
    }
}

/// Prints what clap has to say: help and version, or what is wrong with the arguments.
fn tell(told: &clap::Error) -> ExitCode {
    // WHY: when even this cannot be printed, the exit status alone says it.
    let _ = told.print();
    ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(check::UNREAD))
}

fn version() -> String {
    let git = option_env!("POSTERN_GIT_HASH").unwrap_or("unknown");
    format!("{} git {git}", env!("CARGO_PKG_VERSION"))
}

fn variable(written: &str) -> Result<(String, String), String> {
    match written.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be NAME=VALUE".to_owned()),
    }
}

fn distinct(variables: Vec<(String, String)>) -> Result<Environment, clap::Error> {
    let mut environment = Environment::new();
    for (name, value) in variables {
        if environment.contains_key(&name) {
            let told = format!("--env names `{name}` twice");
            return Err(Arguments::command().error(ErrorKind::ArgumentConflict, told));
        }
        environment.insert(name, value);
    }
    Ok(environment)
}
