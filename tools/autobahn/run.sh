#!/usr/bin/env bash
# Runs the cases of the Autobahn test suite, the usual test of WebSocket implementations, against hoga's `ws`. Only
# loopback is used, apart from the installation of the suite.
#
# usage: tools/autobahn/run.sh [CASE...]
#   CASE  a pattern, such as '1.*' or '6.4.2'; by default all cases except those of compression (12 and 13), which hoga
#         does not support
#
# The suite needs Python 2.7: that in PYTHON27, or else `python2.7`, or one of pyenv. It is installed with pip into
# target/autobahn. Exit codes: 0 if no case failed, 1 if one did, 77 if the suite is not available here.
set -euo pipefail
cd "$(dirname "$0")/../.."

SUITE='autobahntestsuite==25.10.1'
AGENT=hoga
out=$PWD/target/autobahn
packages=$out/python
reports=$out/reports

unavailable() {
    {
        echo '************************************************************************'
        echo 'THE AUTOBAHN CASES WERE NOT RUN.'
        echo "$1"
        echo '************************************************************************'
    } >&2
    exit 77
}

case ${1:-} in
-h | --help)
    sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//p;}' tools/autobahn/run.sh
    exit
    ;;
-*)
    echo "unknown option '$1': --help shows the usage" >&2
    exit 2
    ;;
esac

is_python27() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in "${PYTHON27:-python2.7}" ${PYTHON27:-"$HOME"/.pyenv/versions/2.7*/bin/python}; do
        if is_python27 "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

python=$(find_python) || unavailable "There is no Python 2.7 here: neither \`${PYTHON27:-python2.7}\` nor one of pyenv."
mkdir -p "$out"
# The mark is written last, so that an interrupted installation is repeated.
if [ "$(cat "$packages/installed" 2>/dev/null)" != "$SUITE" ]; then
    rm -rf "$packages"
    "$python" -m pip install --quiet --disable-pip-version-check --target "$packages" "$SUITE" >"$out/pip.log" 2>&1 || {
        tail -n 5 "$out/pip.log" >&2
        unavailable "pip could not install $SUITE."
    }
    echo "$SUITE" >"$packages/installed"
fi

cargo build --quiet --locked --workspace --example autobahn
cases=$([ $# -eq 0 ] && echo '1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*' || (IFS=, && echo "$*"))
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
rm -rf "$reports"
mkdir -p "$reports"
"$python" tools/autobahn/server.py "$packages" "$port" "$reports" "$cases" >"$out/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT

# Until the server listens.
for _ in $(seq 300); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
count=$("${CARGO_TARGET_DIR:-target}/debug/examples/autobahn" "$port" "$AGENT") || {
    tail -n 20 "$out/server.log" >&2
    exit 1
}
"$python" tools/autobahn/report.py "$reports/index.json" "$AGENT" "$count"
