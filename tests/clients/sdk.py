"""One face over both major versions of the MCP SDK: what a check may ask of a client."""

from __future__ import annotations

import importlib.metadata
import json
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, AsyncIterator, Callable

VERSION = importlib.metadata.version("mcp")
MODERN = int(VERSION.split(".")[0]) >= 2

# How a session may begin: `auto` asks server/discover first, `legacy` says initialize.
ERAS = ("auto", "legacy") if MODERN else ("legacy",)

if MODERN:
    from mcp import Client, StdioServerParameters
    from mcp.types import ElicitResult
    from mcp.client.stdio import stdio_client
    from mcp.shared.exceptions import MCPError as SdkError
else:
    from mcp import ClientSession, StdioServerParameters
    from mcp.types import ElicitResult
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.exceptions import McpError as SdkError

# What a person says to a question: the reply's action and its content.
Person = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any] | None]]

# How each version's own time-out is told: REQUEST_TIMEOUT, and HTTP's 408.
TIMEOUT_CODES = (-32001, 408)


class ProtocolError(Exception):
    """The server answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


@dataclass
class Answer:
    """What a tool answered, as it came over the wire."""

    raw: dict[str, Any]

    @property
    def is_error(self) -> bool:
        return bool(self.raw.get("isError"))

    @property
    def text(self) -> str:
        return "\n".join(block["text"] for block in self.raw["content"] if block["type"] == "text")

    @property
    def structured(self) -> Any:
        return self.raw.get("structuredContent")

    @property
    def value(self) -> Any:
        """The structured answer; a failure of the call is the check's failure."""
        assert not self.is_error, f"the call failed: {self.text}"
        assert self.structured is not None, f"no structuredContent: {self.text[:200]}"
        return self.structured


def _wire(model: Any) -> dict[str, Any]:
    return model.model_dump(by_alias=True, mode="json", exclude_none=True)


class Session:
    """A session with the server."""

    def __init__(self, inner: Any, protocol: str, server: dict[str, Any], instructions: str | None):
        self._inner = inner
        self.protocol, self.server, self.instructions = protocol, server, instructions

    async def tools(self) -> dict[str, dict[str, Any]]:
        """The tools by name, as the server lists them."""
        listed = await _told(self._inner.list_tools())
        return {tool.name: _wire(tool) for tool in listed.tools}

    async def call(self, tool: str, arguments: dict[str, Any] | None = None, limit: float = 30) -> Answer:
        """Calls a tool; `TimeoutError` when the client's own patience of `limit` seconds ends."""
        patience: Any = limit if MODERN else timedelta(seconds=limit)
        result = await _told(self._inner.call_tool(tool, arguments or {}, read_timeout_seconds=patience))
        return Answer(_wire(result))


async def _told(call: Any) -> Any:
    try:
        return await call
    except SdkError as error:
        code, message = error.error.code, error.error.message
        if code in TIMEOUT_CODES and "timed out" in message.lower():
            raise TimeoutError(message) from None
        raise ProtocolError(code, message) from None


def _schema(params: Any) -> dict[str, Any]:
    wire = _wire(params)
    return wire["requestedSchema"]


def _parameters(command: list[str], environment: dict[str, str]) -> StdioServerParameters:
    return StdioServerParameters(
        command=command[0], args=command[1:], env={**os.environ, **environment}
    )


@asynccontextmanager
async def connect(
    target: str | list[str],
    era: str,
    errors: Any,
    environment: dict[str, str] | None = None,
    person: Person | None = None,
) -> AsyncIterator[Session]:
    """A session with a URL, or with a command that is started for it; `errors` takes the
    command's standard error. A client without a person cannot be asked."""

    async def asked(_: Any, params: Any) -> Any:
        action, content = person(params.message, _schema(params))
        return ElicitResult(action=action, content=content)

    options = {"elicitation_callback": asked} if person else {}
    if isinstance(target, str):
        transport: Any = target if MODERN else streamable_http_client(target)
    else:
        transport = stdio_client(_parameters(target, environment or {}), errlog=errors)
    if MODERN:
        async with Client(transport, mode=era, **options) as client:
            about = _wire(client.server_info) if client.server_info else {}
            yield Session(client, client.protocol_version, about, client.instructions)
        return
    async with transport as streams:
        async with ClientSession(streams[0], streams[1], **options) as session:
            hello = await session.initialize()
            yield Session(session, hello.protocolVersion, _wire(hello.serverInfo), hello.instructions)


def compact(value: Any) -> str:
    """A value in one line, for messages."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
