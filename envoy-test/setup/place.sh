# Where the set-up puts things, and how its steps speak. Each step sources this file first.
# Everything lands under target/ (the exceptions, rustup's toolchain and wasm targets, are said in `rust` and `wasm-std`),
# so `rm -rf target` undoes it.
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
SETUP=$ROOT/envoy-test/setup
TOOLS=$ROOT/target/tools
VENV=$ROOT/target/venv
mkdir -p "$TOOLS"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is not there: $2"; }

# alone NAME: waits until no other run is in the step NAME; the lock ends with the step.
alone() { exec 9>"$TOOLS/.lock-$1" && flock 9; }

# installed NAME WHAT: true when the step NAME noted WHAT as done. note NAME WHAT: notes it.
installed() { [ "$(cat "$TOOLS/.done-$1" 2>/dev/null)" = "$2" ]; }
note() { printf '%s\n' "$2" >"$TOOLS/.done-$1"; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
