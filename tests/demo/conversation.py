"""The talk of demo.sh: an assistant's calls to Dockmaster while a host goes and comes back.

What it tells, it has checked: the first thing that is not so ends it with exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import textwrap
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mcp import Client

# A call over several hosts gives each of them two seconds; the rest is for a busy machine.
BOUNDED_MS = 3500
# "At once": nobody was waited for.
AT_ONCE_MS = 1000
# How long the line's end and its return may take.
NOTICED_WITHIN = 30.0
BACK_WITHIN = 60.0

WIDTH = 96


class Untrue(Exception):
    """Something the demo claims did not happen."""


def must(true: Any, claim: str) -> None:
    if not true:
        raise Untrue(claim)


class Page:
    """What the reader sees."""

    def __init__(self, colour: bool):
        self.bold, self.dim, self.plain = ("\x1b[1m", "\x1b[2m", "\x1b[0m") if colour else ("", "", "")
        self.steps = 0

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def head(self, title: str) -> None:
        self.steps += 1
        self.line(f"\n{self.bold}{self.steps}. {title}{self.plain}\n")

    def call(self, tool: str, arguments: dict[str, Any]) -> None:
        given = f", {json.dumps(arguments)}" if arguments else ""
        self.line(f'   > call_tool("{tool}"{given})')

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
        for number, row in enumerate([columns, *rows]):
            cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
            self.line(f"     {self.dim}{cells}{self.plain}" if number == 0 else f"     {cells}")

    def said(self, host: str, text: str, hint: str | None) -> None:
        """What the answer tells about a host that did not answer."""
        for label, words in ((host, text), ("what to do", hint or "")):
            if words:
                lines = textwrap.wrap(words, WIDTH - 20)
                self.line(f"     {label.ljust(10)}  {lines[0]}")
                for more in lines[1:]:
                    self.line(f"     {' ' * 10}  {more}")

    def notice(self, text: str) -> None:
        first, *rest = textwrap.wrap(text, WIDTH - 11)
        self.line(f"\n   {self.bold}Notice:{self.plain} {first}")
        for line in rest:
            self.line(f"           {line}")


def age(when: str | None) -> str:
    if when is None:
        return "-"
    then = datetime.fromisoformat(when.replace("Z", "+00:00"))
    return f"{max(0, round((datetime.now(timezone.utc) - then).total_seconds()))} s ago"


class Talk:
    """The conversation and its stage."""

    def __init__(self, client: Client, page: Page, given: argparse.Namespace):
        self.client, self.page, self.given = client, page, given
        self.ms = 0

    async def ask(self, tool: str, arguments: dict[str, Any] | None = None, show: bool = True) -> Any:
        """Calls a tool, shows the call, and measures it."""
        if show:
            self.page.call(tool, arguments or {})
        started = time.monotonic()
        answer = await self.client.call_tool(tool, arguments or {})
        self.ms = round((time.monotonic() - started) * 1000)
        text = "\n".join(block.text for block in answer.content if block.type == "text")
        must(not answer.is_error, f"{tool} failed: {text}")
        return text if answer.structured_content is None else answer.structured_content

    async def vps(self) -> dict[str, Any]:
        return (await self.ask("host_list", {"hosts": "vps"}, show=False))["hosts"][0]

    def power(self, verb: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([self.given.fleet, verb, "h3"], stdin=subprocess.DEVNULL)

    def containers(self, answer: dict[str, Any]) -> None:
        self.page.table(
            ["HOST", "CONTAINER", "STACK", "STATUS", "PORTS"],
            [
                [row["host"], row["name"], row.get("stack", "-"), row["status"], ", ".join(row.get("ports", [])) or "-"]
                for row in answer["containers"]
            ],
        )


def hosts_of(answer: dict[str, Any]) -> set[str]:
    return {row["host"] for row in answer["containers"]}


async def list_hosts(talk: Talk) -> None:
    talk.page.head("Which hosts are there?")
    until = time.monotonic() + NOTICED_WITHIN
    while True:
        hosts = (await talk.ask("host_list", show=False))["hosts"]
        if all(host["phase"] == "ready" for host in hosts):
            break
        must(time.monotonic() < until, f"three hosts are ready: {hosts}")
        await asyncio.sleep(0.1)
    hosts = (await talk.ask("host_list"))["hosts"]
    must([host["host"] for host in hosts] == ["nas", "pi", "vps"], f"nas, pi and vps are listed: {hosts}")
    talk.page.table(
        ["HOST", "LINE", "ENGINE", "ENDPOINT", "TAGS", "DESCRIPTION"],
        [
            [
                host["host"],
                host["phase"],
                f"{host['engine']['product']} {host['engine']['version']}",
                host["endpoint"],
                ",".join(host["tags"]),
                host["description"],
            ]
            for host in hosts
        ],
    )
    talk.page.notice(
        "A host needs ssh and Docker, and nothing of Dockmaster. The lines are made when the service "
        f"starts and then kept, so the answer took {talk.ms} ms."
    )


async def list_containers(talk: Talk) -> dict[str, Any]:
    talk.page.head("What runs where?")
    answer = await talk.ask("container_list")
    must(hosts_of(answer) == {"nas", "pi", "vps"} and not answer["errors"], f"all three answer: {answer}")
    talk.containers(answer)
    talk.page.notice(f"One call asks all hosts at the same time: {talk.ms} ms.")
    return answer


async def read_stack(talk: Talk) -> None:
    talk.page.head("How is the blog set up?")
    text = await talk.ask("stack_file_read", {"host": "nas", "stack": "blog"})
    must("/opt/stacks/blog/compose.yml" in text, f"the file is found: {text}")
    must("known from: container_labels" in text, f"the labels led to the file: {text}")
    must("MYSQL_DATABASE: blog" in text, f"the file is shown: {text}")
    must("MYSQL_PASSWORD: ***" in text and talk.given.secret not in text, "the password is masked")
    for line in text.split("\n--\n")[0].splitlines():
        talk.page.line(f"     {line}")
    talk.page.notice(
        "Nobody said where the file lies: the containers' labels did. The password stays on the host; "
        "the assistant sees ***."
    )


async def pull_the_plug(talk: Talk) -> float:
    talk.page.head("The plug of vps is pulled")
    pulled = time.monotonic()
    must(await asyncio.to_thread(talk.power("power-off").wait) == 0, "vps is powered off")
    talk.page.line("   (no goodbye: its packets just stop)\n")
    answer = await talk.ask("container_list")
    must(hosts_of(answer) == {"nas", "pi"}, f"nas and pi answer: {answer}")
    must([error["host"] for error in answer["errors"]] == ["vps"], f"vps is named: {answer['errors']}")
    must(talk.ms < BOUNDED_MS, f"the call is bounded: it took {talk.ms} ms")
    talk.containers(answer)
    error = answer["errors"][0]
    must(error.get("last_seen"), f"the error has an age: {error}")
    talk.page.said("vps", f"{error['message']} (last answer {age(error['last_seen'])})", None)
    talk.page.notice(
        f"The call took {talk.ms} ms: nobody knew yet, so vps got its two seconds and no more. nas and pi "
        "are answered in full, and the third is named, not forgotten."
    )
    return pulled


async def a_moment_later(talk: Talk, pulled: float) -> None:
    talk.page.head("A moment later")
    phase = "ready"
    while True:
        host = await talk.vps()
        if host["phase"] != phase:
            talk.page.line(f"     {stamp(pulled)}  vps: {phase} -> {host['phase']}  ({host.get('message', 'no cause')})")
            phase = host["phase"]
        known = phase != "ready" and host.get("message")
        # calls wait through a short trouble, so that a hiccup of the network is no error
        if known and seconds_since(host["since"]) >= 4:
            break
        must(time.monotonic() - pulled < NOTICED_WITHIN, f"the end of the line is noticed: {host}")
        await asyncio.sleep(0.1)
    talk.page.line()
    answer = await talk.ask("container_list")
    must(hosts_of(answer) == {"nas", "pi"}, f"nas and pi answer: {answer}")
    must([error["host"] for error in answer["errors"]] == ["vps"], f"vps is named: {answer['errors']}")
    error = answer["errors"][0]
    must(error.get("since") and "down for" in error["message"], f"cause and age are told: {error}")
    talk.page.said("vps", error["message"], error.get("hint"))
    must(talk.ms < AT_ONCE_MS, f"a host known to be down is not waited for: the call took {talk.ms} ms")
    talk.page.notice(
        f"Now it is known, so nobody waits: {talk.ms} ms, with the cause and what a person can do. "
        "Dockmaster keeps trying by itself, with growing pauses."
    )


async def come_back(talk: Talk) -> None:
    talk.page.head("vps is switched on again, and nobody tells the service")
    boot, began = talk.power("boot"), time.monotonic()
    phase = None
    while phase != "ready":
        host = await talk.vps()
        if host["phase"] != phase:
            before = f"{phase} -> " if phase else "still "
            talk.page.line(f"     {stamp(began)}  vps: {before}{host['phase']}")
            phase = host["phase"]
        must(time.monotonic() - began < BACK_WITHIN, f"vps comes back by itself: {host}")
        await asyncio.sleep(0.05)
    must(await asyncio.to_thread(boot.wait) == 0, "vps boots")
    took = time.monotonic() - began
    talk.page.notice(
        f"Ready {took:.1f} s after the button was pressed, the boot included. Nobody had to reconnect "
        "anything."
    )


async def ages_of_lines(talk: Talk) -> dict[str, str]:
    """Since when each line has been as it is."""
    hosts = (await talk.ask("host_list", show=False))["hosts"]
    return {host["host"]: host["since"] for host in hosts}


async def all_is_well(talk: Talk, before: dict[str, Any], lines: dict[str, str], born: str) -> None:
    talk.page.head("All is as before")
    wanted = {(row["host"], row["name"]) for row in before["containers"]}
    until = time.monotonic() + NOTICED_WITHIN
    while True:
        # an engine that has just started answers before it has started its containers
        answer = await talk.ask("container_list", {"state": "running"}, show=False)
        if {(row["host"], row["name"]) for row in answer["containers"]} == wanted:
            break
        must(time.monotonic() < until, f"all containers run again: {answer}")
        await asyncio.sleep(0.2)
    answer = await talk.ask("container_list", {"state": "running"})
    must(not answer["errors"] and hosts_of(answer) == {"nas", "pi", "vps"}, f"all three answer: {answer}")
    talk.containers(answer)
    took, now = talk.ms, await ages_of_lines(talk)
    must(all(now[host] == lines[host] for host in ("nas", "pi")), f"two lines never broke: {lines}, {now}")
    must(birth(talk.given.pid) == born, "the service is the same process")
    log = [json.loads(line) for line in Path(talk.given.log).read_text().splitlines()]
    bad = [entry for entry in log if entry["level"] == "ERROR" or entry["message"] == "restarting"]
    must(not bad, f"nothing of the service was restarted: {bad}")
    talk.page.notice(
        f"All three in {took} ms. The service is still process {talk.given.pid}, no part of it was restarted, and "
        "the lines to nas and pi never broke."
    )


def birth(pid: int) -> str:
    """When a process was born, so that a reused number is not taken for it."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[19]


def stamp(began: float) -> str:
    return f"+{time.monotonic() - began:4.1f} s"


def seconds_since(when: str) -> float:
    return (datetime.now(timezone.utc) - datetime.fromisoformat(when.replace("Z", "+00:00"))).total_seconds()


async def talk_all(given: argparse.Namespace, page: Page) -> None:
    born = birth(given.pid)
    async with Client(given.url) as client:
        talk = Talk(client, page, given)
        await list_hosts(talk)
        before = await list_containers(talk)
        lines = await ages_of_lines(talk)
        await read_stack(talk)
        pulled = await pull_the_plug(talk)
        await a_moment_later(talk, pulled)
        await come_back(talk)
        await all_is_well(talk, before, lines, born)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--pid", type=int, required=True, help="the service's process")
    parser.add_argument("--log", required=True, help="what the service logs")
    parser.add_argument("--fleet", required=True, help="fleet.sh")
    parser.add_argument("--secret", required=True, help="must show nowhere")
    parser.add_argument("--colour", action="store_true")
    given = parser.parse_args()
    page = Page(given.colour)
    try:
        asyncio.run(talk_all(given, page))
    except Exception as error:
        while len(inner := getattr(error, "exceptions", ())) == 1:
            error = inner[0]
        what = "This is not so" if isinstance(error, Untrue) else f"Stopped by {type(error).__name__}"
        print(f"\n{what}: {str(error).splitlines()[0] if str(error) else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
