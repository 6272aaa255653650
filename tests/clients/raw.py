"""What no SDK would send: the bytes themselves, over pipes and over HTTP."""

from __future__ import annotations

import inspect
import json
import os
import select
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

SOON = 10.0


def initialize(number: int) -> dict[str, Any]:
    about = {"name": "raw", "version": "1"}
    params = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": about}
    return {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": params}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def call(number: int, tool: str) -> dict[str, Any]:
    params = {"name": tool, "arguments": {}}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


class Pipe:
    """The server on pipes; everything it says must be a line of JSON-RPC."""

    def __init__(self, command: list[str]):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self.rest = b""

    def __enter__(self) -> Pipe:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def send(self, message: dict[str, Any] | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(line + b"\n")

    def read(self, until: float) -> dict[str, Any] | None:
        """The next message; `None` at the end of output."""
        while b"\n" not in self.rest:
            left = until - time.monotonic()
            assert left > 0, f"no answer within {SOON} s; so far: {self.rest!r}"
            if select.select([self.process.stdout], [], [], left)[0]:
                more = os.read(self.process.stdout.fileno(), 1 << 16)
                if not more:
                    assert not self.rest, f"output ends within a line: {self.rest!r}"
                    return None
                self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        try:
            message = json.loads(line)
        except ValueError:
            raise AssertionError(f"standard output holds something else than JSON: {line!r}") from None
        assert isinstance(message, dict) and message.get("jsonrpc") == "2.0", f"no JSON-RPC: {line!r}"
        return message

    def answer(self, number: int) -> dict[str, Any]:
        """The answer to request `number`; errors that answer no request are passed over."""
        until = time.monotonic() + SOON
        while True:
            message = self.read(until)
            assert message is not None, f"the server left before it answered request {number}"
            if message.get("id") == number:
                assert "result" in message, f"request {number} failed: {message}"
                return message["result"]
            assert message.get("id") is None and "error" in message, f"unasked: {message}"

    def end(self) -> None:
        """Closes the input: the server must leave with code 0 and say nothing unasked."""
        self.process.stdin.close()
        until = time.monotonic() + SOON
        while (message := self.read(until)) is not None:
            assert message.get("id") is None and "error" in message, f"said at the end: {message}"
        try:
            code = self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs {SOON} s after the end of its input") from None
        assert code == 0, f"exit code {code} at the end of its input"


def stdio_ends_without_a_greeting(command: list[str]) -> None:
    with Pipe(command) as pipe:
        pipe.end()


def stdio_ends_after_a_greeting(command: list[str]) -> None:
    with Pipe(command) as pipe:
        pipe.send(initialize(1))
        assert pipe.answer(1)["serverInfo"]["name"] == "dockmaster"
        pipe.send(INITIALIZED)
        pipe.end()


def stdio_ends_within_a_call(command: list[str]) -> None:
    with Pipe(command) as pipe:
        pipe.send(initialize(1))
        pipe.answer(1)
        pipe.send(INITIALIZED)
        pipe.send(call(2, "container_list"))
        pipe.process.stdin.close()
        until = time.monotonic() + SOON
        while pipe.read(until) is not None:
            pass
        code = pipe.process.wait(SOON)
        assert code == 0, f"exit code {code}"


# Each is refused or passed over, and costs nobody anything.
NONSENSE = {
    "half_a_line_of_json": b'{"jsonrpc": "2.0", "id": 7, "meth',
    "plain_words": b"hello there",
    "an_empty_line": b"",
    "a_list": b"[]",
    "a_number": b"42",
    "a_foreign_object": b'{"a": 1}',
    "no_unicode": b'{"jsonrpc": "2.0", "id": 8, "method": "\xff\xfe"}',
    "a_deep_list": b"[" * 10_000,
    "an_unknown_notification": b'{"jsonrpc": "2.0", "method": "notifications/of_tomorrow"}',
    "an_answer_nobody_asked_for": b'{"jsonrpc": "2.0", "id": 99, "result": {}}',
}


def _survives(nonsense: bytes) -> Callable[[list[str]], None]:
    def check(command: list[str]) -> None:
        with Pipe(command) as pipe:
            pipe.send(nonsense)
            pipe.send(initialize(1))
            pipe.answer(1)
            pipe.send(INITIALIZED)
            pipe.send(nonsense)
            pipe.send(call(2, "host_list"))
            assert pipe.answer(2)["structuredContent"]["hosts"]
            pipe.end()

    return check


def stdio_unknown_method_is_refused(command: list[str]) -> None:
    with Pipe(command) as pipe:
        pipe.send(initialize(1))
        pipe.answer(1)
        pipe.send(INITIALIZED)
        pipe.send({"jsonrpc": "2.0", "id": 2, "method": "no/such/method", "params": {}})
        message = pipe.read(time.monotonic() + SOON)
        assert message and message.get("id") == 2 and message["error"]["code"] == -32601, message
        pipe.end()


def discover(number: int) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return {"jsonrpc": "2.0", "id": number, "method": "server/discover", "params": {"_meta": meta}}


def _speaks_the_older_era(pipe: Pipe) -> None:
    pipe.send(initialize(1))
    pipe.answer(1)
    pipe.send(INITIALIZED)
    pipe.send({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}})
    assert pipe.answer(2)["tools"]
    pipe.end()


def stdio_discover_then_initialize(command: list[str]) -> None:
    """As one widely used client does it: asks both, then speaks the older era."""
    with Pipe(command) as pipe:
        pipe.send(discover(0))
        assert "2026-07-28" in pipe.answer(0)["supportedVersions"]
        _speaks_the_older_era(pipe)


def stdio_a_probe_given_up(command: list[str]) -> None:
    """A client that found the answer to its probe too slow cancels it, then says initialize."""
    with Pipe(command) as pipe:
        pipe.send(discover(0))
        pipe.answer(0)
        params = {"requestId": 0, "reason": "timed out"}
        pipe.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
        _speaks_the_older_era(pipe)


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    both = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(url, body, both | headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=SOON) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def http_malformed_body_is_refused(url: str) -> None:
    for body in (b'{"jsonrpc": "2.0", "id": 7, "meth', b"", b"\xff\xfe", b"42"):
        status, said = _post(url, body, {})
        assert 400 <= status < 500, f"{body!r}: {status} {said!r}"
    status, said = _post(url, json.dumps(initialize(1)).encode(), {})
    assert status == 200 and b"dockmaster" in said, f"{status} {said!r}"


def http_foreign_page_is_refused(url: str) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
        status, said = _post(url, json.dumps(initialize(1)).encode(), headers)
        assert status == 403, f"{headers}: {status} {said!r}"


def http_lost_session_is_told_as_such(url: str) -> None:
    """With 404 a client of the older era begins anew, as after a restart of the service."""
    headers = {"Mcp-Session-Id": "00000000-0000-0000-0000-000000000000", "MCP-Protocol-Version": "2025-06-18"}
    status, said = _post(url, json.dumps(call(1, "host_list")).encode(), headers)
    assert status == 404, f"{status} {said!r}"


def all_checks(transport: str) -> list[tuple[str, Callable[[Any], None]]]:
    """Every check of a transport with its name."""
    here = [
        (name, f) for name, f in globals().items() if name.startswith(f"{transport}_") and inspect.isfunction(f)
    ]
    if transport == "stdio":
        here += [(f"stdio_survives_{name}", _survives(line)) for name, line in NONSENSE.items()]
    return here
