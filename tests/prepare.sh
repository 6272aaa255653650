#!/usr/bin/env bash
# Installs what the tests need beyond Rust, once: the fleet's packages and the Python clients.
# Without root there is no fleet, and the tests that need it say so and are counted as ignored.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ "$(id -u)" -eq 0 ]; then
    "$here/fleet/fleet.sh" install
    "$here/clients/install.sh"
else
    echo "prepare: not root, so the tests on real hosts will be skipped"
fi
