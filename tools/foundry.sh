#!/bin/sh
# Runs the native forge, cast or anvil, whichever name this was called by, from the npm package for this machine.
# npm's own launchers (node_modules/.bin) always exit with 0, also when a test fails, and stand between a process and
# the signals that should stop it; exec leaves neither in the way.
set -eu

tool=$(basename "$0")
case $(uname -s) in
    Linux) system=linux ;;
    Darwin) system=darwin ;;
    *) echo "$tool: no package for $(uname -s)" >&2; exit 1 ;;
esac
case $(uname -m) in
    x86_64 | amd64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) echo "$tool: no package for $(uname -m)" >&2; exit 1 ;;
esac

binary=$(dirname "$0")/../node_modules/@foundry-rs/$tool-$system-$machine/bin/$tool
if [ ! -x "$binary" ]; then
    echo "$tool: $binary is missing; run: npm ci" >&2
    exit 1
fi
exec "$binary" "$@"
