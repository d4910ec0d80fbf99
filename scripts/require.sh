#!/bin/sh
# Is what the build needs on this machine? Says plainly what is missing and how to get it.
# usage: scripts/require.sh PYTHON
set -u
python=${1:-python3}
missing=0

lack() {
    echo "missing: $1" >&2
    echo "   hint: $2" >&2
    missing=1
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    lack "Python 3.11 or newer (tried: $python)" "install it, or name another: make PYTHON=/path/to/python3.12"
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lack "the venv module of $python" "on Debian and Ubuntu: apt install python3-venv"
fi
command -v cargo >/dev/null || lack "a Rust toolchain (cargo)" "https://rustup.rs, or on Debian: apt install cargo"
command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
    lack "a C compiler (cc)" "on Debian and Ubuntu: apt install build-essential"
exit $missing
