"""Processes that never outlive the one that started them.

Decided here: how a child is started, how it is known to be up, and that it is gone at the end: on success, failure,
Ctrl-C, SIGTERM, and (through the kernel's parent-death signal) even when this process is killed.
"""

import ctypes
import os
import select
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something that the run needs did not happen; the text says what and where to look."""


def _die_with(parent):
    def before_exec():
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return before_exec


class Child:
    """One running process. `name` is used in messages, `log` is where its output goes (None: nowhere).

    `first_line`: its standard output is read here. `keep_stdin`: its standard input stays open until it is stopped.
    """

    def __init__(self, name, args, log=None, env=None, first_line=False, keep_stdin=False):
        self.name, self.log = name, log
        self._log_file = open(log, "ab") if log else None
        output = self._log_file or subprocess.DEVNULL
        self.process = subprocess.Popen(
            [str(a) for a in args],
            stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if first_line else output,
            stderr=output,
            env={**os.environ, **(env or {})},
            process_group=0,
            preexec_fn=_die_with(os.getpid()),
        )

    @property
    def pid(self):
        return self.process.pid

    def first_line(self, timeout=30.0):
        """The next line on the child's standard output (the child was started with first_line=True)."""
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line:
            raise Failed(f"{self.name} said nothing within {timeout:.0f} s{self._look()}")
        return line.strip()

    def ask(self, line, timeout=10.0):
        """Sends the child one line and gives the line that it answers (it was started with first_line and keep_stdin)."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.first_line(timeout)

    def wait_for(self, what, check, timeout=60.0):
        """Calls `check` until it gives something true; fails when the child ends or the time (seconds) is over."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode} before {what}{self._look()}")
            seen = check()
            if seen:
                return seen
            time.sleep(0.03)
        raise Failed(f"{self.name}: {what} did not happen within {timeout:.0f} s{self._look()}")

    def alive(self):
        return self.process.poll() is None

    def stop(self, patience=5.0):
        """Asks the child to end, then ends it. Safe to call twice."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._log_file):
            if stream:
                stream.close()

    def _look(self):
        if not self.log:
            return ""
        with open(self.log, errors="replace") as lines:
            tail = lines.readlines()[-12:]
        return f"\n  the end of {self.log}:\n  " + "  ".join(tail)


class Children:
    """All children of a run; leaving the `with` block stops them in reverse order."""

    def __init__(self):
        self._all = []

    def start(self, *args, **kwargs):
        child = Child(*args, **kwargs)
        self._all.append(child)
        return child

    def stop(self, child):
        child.stop()
        self._all.remove(child)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not leave a child behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self._all):
            child.stop()


def end_on_signal():
    """Turns Ctrl-C, SIGTERM and SIGHUP into an ordinary exit (128 + number), so that `with` and `finally` run."""

    def leave(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def end_after(seconds, what):
    """The run ends by itself: after `seconds` it fails, whatever it waits for. 0 takes the limit away."""

    def late(_number, _frame):
        raise Failed(f"{what} was not over after {seconds} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
