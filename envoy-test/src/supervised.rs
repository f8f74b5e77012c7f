//! A child process that cannot outlive the test which started it.
//!
//! Decided here: how a process is started, stopped and never left behind. Not here: what the process is.
//! Against: gateways that survive a failed, panicking or killed test run and keep ports, memory and CPU.
//!
//! A shell stands between: it holds the reading end of a pipe whose writing end only the test has. When the
//! test drops it, exits, or is killed in any way, the kernel closes the pipe and the shell ends the child
//! (TERM, then KILL). The shell leads a process group of its own, so Ctrl-C on a terminal does not take it first.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Runs `"$@"`, ends it when standard input ends, exits with its code. TERM first; KILL after ten seconds.
const SUPERVISOR: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{
  read -r _ <&3
  kill -TERM "$child"
  n=0
  while kill -0 "$child" && [ "$n" -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
  kill -KILL "$child"
} 2>/dev/null &
watcher=$!
wait "$child"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"#;

/// A running program with its output in one file. Dropping it ends the program and waits for that.
#[derive(Debug)]
pub struct Supervised {
    shell: Child,
    lifeline: Option<ChildStdin>,
}

impl Supervised {
    /// Starts `program` with `arguments` and, in its environment, `variables`; standard output and error are
    /// appended to `output`.
    ///
    /// # Errors
    /// When the output file or the shell cannot be opened. A program that does not exist shows as exit code 127.
    pub fn start(
        program: &Path,
        arguments: &[impl AsRef<OsStr>],
        variables: &[(&str, &str)],
        output: &Path,
    ) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(output)?;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()?;
        let lifeline = shell.stdin.take();
        Ok(Self { shell, lifeline })
    }

    /// The exit status, if the program has ended.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.shell.try_wait()
    }

    /// Ends the program, if it still runs, and waits for it.
    ///
    /// # Errors
    /// When the operating system cannot say how it ended.
    pub fn stop(&mut self) -> io::Result<ExitStatus> {
        drop(self.lifeline.take());
        self.shell.wait()
    }

    /// Waits until the program ends by itself, at most `patience`.
    ///
    /// # Errors
    /// When the operating system cannot say.
    pub fn wait_at_most(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let step = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if waited >= patience {
                return Ok(None);
            }
            std::thread::sleep(step);
            waited = waited.saturating_add(step);
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(name: &str, script: &str) -> (Supervised, std::path::PathBuf) {
        let output = std::env::temp_dir().join(format!("postern-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&output);
        let child = Supervised::start(
            Path::new("/bin/sh"),
            &["-c", script],
            &[("WORD", "said")],
            &output,
        )
        .expect("a shell");
        (child, output)
    }

    fn said(output: &Path) -> String {
        for _ in 0..500 {
            let text = std::fs::read_to_string(output).unwrap_or_default();
            if text.ends_with('\n') {
                return text.trim().to_owned();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the child said nothing");
    }

    #[test]
    fn dropping_ends_the_child() {
        let (child, output) = started("drop", "echo $$; exec sleep 1000");
        let running = Path::new("/proc").join(said(&output));
        assert!(running.exists());
        drop(child);
        assert!(!running.exists(), "{running:?} outlived its supervisor");
    }

    #[test]
    fn the_end_and_its_code_are_seen() {
        let (mut child, output) = started("end", "echo $WORD; exit 7");
        let status = child
            .wait_at_most(Duration::from_secs(10))
            .expect("a status");
        assert_eq!(status.and_then(|status| status.code()), Some(7));
        assert_eq!(said(&output), "said");
    }
}
