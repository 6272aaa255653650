#!/usr/bin/env python3
"""Speaks to Dockmaster as its clients do, by the MCP SDK, and checks what they rely on.

    python suite.py --transport http  --target http://127.0.0.1:8000/mcp --hosts h1,h2,h3 ...
    python suite.py --transport stdio --target 'dockmaster stdio --config hosts.yml' --hosts h1,h2,h3 ...

Works with versions 1 and 2 of the SDK; with 2 every check runs in both eras of the protocol.
On every host a container (--container) must run whose environment holds COLOUR=green and
DB_PASSWORD with the value --secret, and whose log holds the line --line. --hang and --resume
are commands that make the engine of the last host silent and let it go on; without them the
checks of slow calls are left out. Prints `ok NAME` or `FAIL NAME: why` for each check, then
`passed N failed M`; the exit code is 1 when one failed.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, AsyncIterator

import anyio

import checks
import raw
import sdk

# No check takes longer unless something hangs.
LIMIT = 60.0


class Tally:
    """Counts and prints what the checks came to."""

    def __init__(self, prefix: str):
        self.prefix, self.passed, self.failed = prefix, 0, 0

    def ok(self, name: str, started: float) -> None:
        self.passed += 1
        print(f"ok {self.prefix}{name} ({time.monotonic() - started:.2f} s)", flush=True)

    def fail(self, name: str, error: BaseException) -> None:
        self.failed += 1
        # task groups wrap even a single failure
        while len(inner := getattr(error, "exceptions", ())) == 1:
            error = inner[0]
        # the SDK quotes whole schemas below the line that matters
        why = (str(error) or "no message").splitlines()[0][:600]
        if not isinstance(error, AssertionError):
            where = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__}: {why} ({Path(where.filename).name}:{where.lineno})"
        print(f"FAIL {self.prefix}{name}: {why}", flush=True)


class Server:
    """The server under test, by URL or by command."""

    def __init__(self, transport: str, target: str, log: Any):
        self.command = shlex.split(target) if transport == "stdio" else None
        self.url, self.log = target, log

    @asynccontextmanager
    async def session(self, era: str, person: sdk.Person | None = None) -> AsyncIterator[sdk.Session]:
        """A session; a server that was started for it must then have left by itself."""
        if self.command is None:
            async with sdk.connect(self.url, era, self.log, person=person) as session:
                yield session
            return
        # The SDK does not tell the exit code, and a server that stays it kills.
        with tempfile.NamedTemporaryFile("r") as code:
            tell = ["/bin/sh", "-c", '"$@"; echo $? >"$EXIT_CODE_TO"', "sh", *self.command]
            async with sdk.connect(tell, era, self.log, {"EXIT_CODE_TO": code.name}, person) as session:
                yield session
            told = code.read().strip()
            assert told == "0", f"the server left with {told or 'a kill: it did not leave by itself'}"


async def converse(server: Server, era: str, known: checks.Known, tally: Tally) -> None:
    """All checks over one session."""
    started = time.monotonic()
    try:
        async with server.session(era) as session:
            context = checks.Context(session, era, known, lambda person=None: server.session(era, person))
            for name, check in checks.all_checks():
                began = time.monotonic()
                try:
                    with anyio.fail_after(LIMIT):
                        await check(context)
                except Exception as error:
                    tally.fail(name, error)
                else:
                    tally.ok(name, began)
    except Exception as error:
        tally.fail("session_begins_and_ends", error)
    else:
        tally.ok("session_begins_and_ends", started)


def bytes_themselves(server: Server, transport: str, tally: Tally) -> None:
    """The checks below the SDK."""
    for name, check in raw.all_checks(transport):
        began = time.monotonic()
        try:
            check(server.command or server.url)
        except Exception as error:
            tally.fail(name, error)
        else:
            tally.ok(name, began)


def runner(command: str | None) -> Callable[[], None] | None:
    if command is None:
        return None
    return lambda: subprocess.run(shlex.split(command), check=True, stdin=subprocess.DEVNULL) and None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transport", choices=["stdio", "http"], required=True)
    parser.add_argument("--target", required=True, help="a URL for http, a command for stdio")
    parser.add_argument("--hosts", required=True, help="the configured hosts, separated by commas")
    parser.add_argument("--container", required=True, help="runs on every host")
    parser.add_argument("--secret", required=True, help="must show nowhere")
    parser.add_argument("--line", required=True, help="a line of the container's log")
    parser.add_argument("--hang", help="a command that makes the last host's engine silent")
    parser.add_argument("--resume", help="a command that lets it go on")
    parser.add_argument("--raw", action="store_true", help="also the checks below the SDK")
    parser.add_argument("--log", type=Path, help="where the standard error of servers started here goes")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    known = checks.Known(
        hosts=sorted(given.hosts.split(",")),
        container=given.container,
        secret=given.secret,
        line=given.line,
        hang=runner(given.hang),
        resume=runner(given.resume),
    )
    passed = failed = 0
    with open(given.log or "/dev/null", "a") as log:
        server = Server(given.transport, given.target, log)
        for era in sdk.ERAS:
            tally = Tally(f"mcp-{sdk.VERSION} {given.transport} {era}: ")
            anyio.run(converse, server, era, known, tally)
            passed, failed = passed + tally.passed, failed + tally.failed
        if given.raw:
            tally = Tally("raw: ")
            bytes_themselves(server, given.transport, tally)
            passed, failed = passed + tally.passed, failed + tally.failed
    print(f"passed {passed} failed {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
