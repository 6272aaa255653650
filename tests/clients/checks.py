"""What a client must find, whatever its version, era and transport."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import anyio
from jsonschema import Draft202012Validator

from sdk import MODERN, Answer, ProtocolError, Session, compact

READING = {
    "container_file_read",
    "container_inspect",
    "container_list",
    "container_logs",
    "disk_usage",
    "container_stats",
    "event_query",
    "fleet_search",
    "fleet_status",
    "host_inspect",
    "host_list",
    "host_test",
    "image_inspect",
    "image_list",
    "image_updates",
    "job_get",
    "job_list",
    "network_list",
    "port_list",
    "stack_file_read",
    "stack_inspect",
    "stack_list",
    "stack_logs",
    "volume_list",
}
# they change the hosts file or hosts; those that are destructive say so
CHANGING = {
    "container_exec": True,
    "container_file_write": True,
    "container_recreate": True,
    "container_remove": True,
    "container_restart": True,
    "container_run": False,
    "container_start": False,
    "container_stop": True,
    "container_update": True,
    "docker_compose": True,
    "docker_container": True,
    "docker_hosts": True,
    "host_add": False,
    "host_import": False,
    "host_remove": True,
    "host_update": True,
    "image_build": False,
    "image_copy": False,
    "image_pull": False,
    "image_push": True,
    "image_remove": True,
    "image_tag": False,
    "job_cancel": True,
    "network_connect": False,
    "network_create": False,
    "network_disconnect": True,
    "network_remove": True,
    "prune": True,
    "rollout": True,
    "volume_copy": True,
    "volume_create": False,
    "volume_remove": True,
}
HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")
PROTOCOLS = {"auto": "2026-07-28", "legacy": "2025-11-25"}

# Hosts connect within a second or two; a machine under load may take longer.
READY_WITHIN = 30.0


@dataclass
class Known:
    """What the caller of the suite has put on the hosts."""

    hosts: list[str]
    container: str
    secret: str
    line: str
    hang: Callable[[], None] | None
    resume: Callable[[], None] | None


@dataclass
class Context:
    """What a check works with."""

    session: Session
    era: str
    known: Known
    another: Callable[..., AbstractAsyncContextManager[Session]]


def includes(text: str, *parts: str) -> None:
    for part in parts:
        assert part in text, f"{part!r} is missing in: {text}"


async def ready_hosts(session: Session, known: Known) -> list[dict[str, Any]]:
    """The hosts, once all are ready."""
    until = time.monotonic() + READY_WITHIN
    while True:
        hosts = (await session.call("host_list")).value["hosts"]
        if all(host["phase"] == "ready" for host in hosts):
            return hosts
        assert time.monotonic() < until, f"not ready after {READY_WITHIN} s: {compact(hosts)}"
        await anyio.sleep(0.1)


async def fits(session: Session, tool: str, answer: Answer) -> Any:
    """The answer of a structured tool, equal in both its forms and true to the tool's schema."""
    schema = (await session.tools())[tool]["outputSchema"]
    Draft202012Validator.check_schema(schema)
    value = answer.value
    assert json.loads(answer.text) == value, "the text is not the JSON of structuredContent"
    faults = [f"{fault.json_path}: {fault.message}" for fault in Draft202012Validator(schema).iter_errors(value)]
    assert not faults, f"{tool} breaks its own outputSchema: {faults}"
    return value


async def check_greeting(c: Context) -> None:
    assert c.session.protocol == PROTOCOLS[c.era], f"speaks {c.session.protocol}"
    assert c.session.server.get("name") == "dockmaster", c.session.server
    assert c.session.server.get("version"), c.session.server
    includes(c.session.instructions or "", "host_list")
    # clients cut longer instructions
    assert len(c.session.instructions or "") <= 2048


async def check_tools_are_all_there_with_all_hints(c: Context) -> None:
    tools = await c.session.tools()
    known = READING | set(CHANGING)
    assert set(tools) == known, f"too many: {set(tools) - known}, too few: {known - set(tools)}"
    for name, tool in tools.items():
        hints = tool.get("annotations", {})
        for hint in HINTS:
            assert isinstance(hints.get(hint), bool), f"{name}: {hint} is {hints.get(hint)!r}"
        assert hints["readOnlyHint"] == (name in READING), f"{name}: {hints}"
        assert hints["destructiveHint"] == CHANGING.get(name, False), f"{name}: {hints}"
        assert tool.get("title") and tool.get("description"), name
        Draft202012Validator.check_schema(tool["inputSchema"])
        assert tool["inputSchema"].get("type") == "object", f"{name}: {tool['inputSchema']}"


async def check_hosts_become_ready(c: Context) -> None:
    hosts = await ready_hosts(c.session, c.known)
    assert sorted(host["host"] for host in hosts) == c.known.hosts, compact(hosts)
    for host in hosts:
        assert host["engine"]["version"] and host["endpoint"].startswith("ssh://"), compact(host)
    await fits(c.session, "host_list", await c.session.call("host_list", {"probe": True}))


async def check_containers_of_all_hosts(c: Context) -> None:
    answer = await c.session.call("container_list", {"match": c.known.container})
    value = await fits(c.session, "container_list", answer)
    rows = value["containers"]
    assert [row["host"] for row in rows] == c.known.hosts, compact(rows)
    assert all(row["name"] == c.known.container and row["state"] == "running" for row in rows), compact(rows)
    assert value["errors"] == [] and value["total"] == len(rows), compact(value)


async def check_a_selector_narrows_the_hosts(c: Context) -> None:
    chosen = c.known.hosts[:2]
    arguments = {"hosts": ",".join(chosen), "match": c.known.container, "detail": "full"}
    value = await fits(c.session, "container_list", await c.session.call("container_list", arguments))
    assert [row["host"] for row in value["containers"]] == chosen, compact(value)
    assert all(row["full"]["labels"] for row in value["containers"]), compact(value)


async def check_pages_give_every_row_once(c: Context) -> None:
    seen, cursor = [], None
    for _ in range(len(c.known.hosts) + 1):
        arguments = {"match": c.known.container, "limit": 1} | ({"cursor": cursor} if cursor else {})
        value = (await c.session.call("container_list", arguments)).value
        seen += [row["host"] for row in value["containers"]]
        cursor = value.get("next_cursor")
        if cursor is None:
            break
    assert seen == c.known.hosts, f"{seen}, cursor {cursor}"


async def check_inspect_redacts_the_secret(c: Context) -> None:
    arguments = {"host": c.known.hosts[0], "container": c.known.container, "sections": ["summary", "env", "config"]}
    answer = await c.session.call("container_inspect", arguments)
    value = await fits(c.session, "container_inspect", answer)
    assert value["summary"]["state"] == "running", compact(value)
    assert "DB_PASSWORD=***" in value["env"] and "COLOUR=green" in value["env"], compact(value["env"])
    assert c.known.secret not in compact(answer.raw), "the secret shows"


async def check_logs_hold_the_known_line(c: Context) -> None:
    where = {"host": c.known.hosts[0], "container": c.known.container}
    answer = await c.session.call("container_logs", where)
    assert not answer.is_error and answer.structured is None, compact(answer.raw)
    includes(answer.text, c.known.line, "cursor: ")
    assert c.known.secret not in answer.text, "the secret shows"
    none = await c.session.call("container_logs", where | {"grep": "no such line anywhere"})
    assert not none.is_error and c.known.line not in none.text, none.text


async def check_followed_logs_end_with_their_time_or_their_client(c: Context) -> None:
    where = {"host": c.known.hosts[0], "containers": [c.known.container], "follow": 1}
    answer = await c.session.call("container_logs", where)
    assert not answer.is_error, compact(answer.raw)
    includes(answer.text, c.known.line, "cursor: ")
    # the first major version tells the server nothing of a call it gave up
    long = 600 if MODERN else 2
    started = time.monotonic()
    with anyio.move_on_after(0.5) as given_up:
        await c.session.call("container_logs", where | {"follow": long}, limit=600)
    assert given_up.cancelled_caught and time.monotonic() - started < 5, "it cannot be given up"
    # ends after the one that may go on
    answer = await c.session.call("container_logs", where | {"follow": 2})
    assert not answer.is_error, compact(answer.raw)


async def check_host_test_walks_all_steps(c: Context) -> None:
    answer = await c.session.call("host_test", {"host": c.known.hosts[0]})
    value = await fits(c.session, "host_test", answer)
    assert value["ok"] and all(step["ok"] for step in value["steps"]), compact(value)


async def check_stacks_are_listed(c: Context) -> None:
    value = await fits(c.session, "stack_list", await c.session.call("stack_list"))
    assert value["errors"] == [], compact(value)


async def check_unknown_tool_is_a_protocol_error_with_the_nearest(c: Context) -> None:
    try:
        answer = await c.session.call("container_lst")
    except ProtocolError as error:
        assert error.code == -32602, str(error)
        includes(error.message, "container_lst", "container_list")
    else:
        raise AssertionError(f"answered: {compact(answer.raw)}")


async def refused(c: Context, tool: str, arguments: dict[str, Any], *parts: str) -> None:
    """The call must fail in a way the model reads, and say these things."""
    answer = await c.session.call(tool, arguments)
    assert answer.is_error, f"no error: {compact(answer.raw)}"
    includes(answer.text, *parts)


async def check_wrong_type_names_the_argument(c: Context) -> None:
    await refused(c, "container_list", {"limit": "many"}, "invalid_arguments", "limit")


async def check_out_of_range_names_the_argument(c: Context) -> None:
    await refused(c, "container_list", {"limit": 0}, "invalid_arguments", "limit", "500")


async def check_missing_argument_is_named(c: Context) -> None:
    await refused(c, "container_inspect", {"host": c.known.hosts[0]}, "invalid_arguments", "container")


async def check_unknown_argument_is_named(c: Context) -> None:
    await refused(c, "container_list", {"host": c.known.hosts[0]}, "invalid_arguments", "`host`", "`hosts`")


async def check_unknown_host_names_the_nearest(c: Context) -> None:
    wrong = c.known.hosts[0] + "x"
    await refused(c, "container_list", {"hosts": wrong}, "host_unknown", wrong, "Did you mean", c.known.hosts[0])
    arguments = {"host": wrong, "container": c.known.container}
    await refused(c, "container_inspect", arguments, "host_unknown", "Did you mean", c.known.hosts[0])


async def check_unknown_container_is_not_found(c: Context) -> None:
    arguments = {"host": c.known.hosts[0], "container": "no-such-container"}
    for tool in ("container_inspect", "container_logs"):
        await refused(c, tool, arguments, "not_found", c.known.hosts[0], "no-such-container")


async def check_unknown_stack_is_not_found(c: Context) -> None:
    arguments = {"host": c.known.hosts[0], "stack": "no-such-stack"}
    await refused(c, "stack_file_read", arguments, "not_found", "no-such-stack")


async def check_many_calls_at_once(c: Context) -> None:
    answers: dict[int, Answer] = {}

    async def call(number: int) -> None:
        host = c.known.hosts[number % len(c.known.hosts)]
        answers[number] = await c.session.call("container_list", {"hosts": host, "match": c.known.container})

    async with anyio.create_task_group() as group:
        for number in range(24):
            group.start_soon(call, number)
    for number, answer in answers.items():
        expected = [c.known.hosts[number % len(c.known.hosts)]]
        assert [row["host"] for row in answer.value["containers"]] == expected, f"call {number}: {answer.text}"


async def check_a_second_session_is_its_own(c: Context) -> None:
    async with c.another() as second:
        await ready_hosts(second, c.known)
        for session in (c.session, second, c.session):
            hosts = (await session.call("host_list")).value["hosts"]
            assert len(hosts) == len(c.known.hosts), compact(hosts)
    # the first outlives the second
    assert (await c.session.call("host_list")).value["hosts"]


async def made(c: Context) -> tuple[str, dict[str, Any]]:
    """A container that is there to be removed, and the arguments that remove it."""
    name = f"{c.known.container}-gone"
    image = (await c.session.call("container_list", {"match": c.known.container})).value["containers"][0]["image"]
    host = c.known.hosts[0]
    # Left by a check that failed half-way.
    await c.session.call("container_remove", await confirmed(c, host, name))
    run = {"host": host, "image": image, "name": name, "command": ["sleep", "1000"]}
    job = (await c.session.call("container_run", run)).value
    assert job["state"] == "done", compact(job)
    return name, {"host": host, "containers": [name], "force": True}


async def confirmed(c: Context, host: str, name: str) -> dict[str, Any]:
    arguments = {"host": host, "containers": [name], "force": True}
    plan = await c.session.call("container_remove", arguments | {"dry_run": True})
    return arguments if plan.is_error else arguments | {"confirm": plan.value["confirm"]}


async def there(c: Context, name: str) -> bool:
    rows = (await c.session.call("container_list", {"hosts": c.known.hosts[0], "match": name})).value
    return bool(rows["containers"])


async def check_a_client_that_cannot_ask_gets_a_plan(c: Context) -> None:
    name, arguments = await made(c)
    plan = await fits(c.session, "container_remove", await c.session.call("container_remove", arguments))
    assert plan["state"] == "planned" and plan["plan"][0]["name"] == name and await there(c, name), compact(plan)
    await refused(c, "container_remove", arguments | {"confirm": "yes"}, "confirmation_required", "nothing was changed")
    assert await there(c, name)
    done = await c.session.call("container_remove", arguments | {"confirm": plan["confirm"]})
    assert (await fits(c.session, "container_remove", done))["state"] == "done", compact(done.raw)
    assert not await there(c, name)


async def check_a_person_is_asked_and_their_word_counts(c: Context) -> None:
    name, arguments = await made(c)
    questions: list[str] = []
    says: tuple[str, dict[str, Any] | None] = ("decline", None)

    def person(question: str, schema: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
        questions.append(question)
        assert set(schema["properties"]) == ({"name"} if "Type " in question else {"yes"}), compact(schema)
        return says

    async with c.another(person) as asking:
        await ready_hosts(asking, c.known)
        for says, words in [
            (("decline", None), "said no"),
            (("cancel", None), "did not answer"),
            (("accept", {"yes": False}), "did not agree"),
        ]:
            answer = await asking.call("container_remove", arguments)
            assert answer.is_error, compact(answer.raw)
            includes(answer.text, "confirmation_required", words, "nothing was changed")
        # The name has to be typed where volumes go, and the plan's word is not enough.
        plan = (await asking.call("container_remove", arguments | {"dry_run": True})).value
        says = ("accept", {"name": "another"})
        wrong = await asking.call("container_remove", arguments | {"volumes": True, "confirm": plan["confirm"]})
        assert wrong.is_error and await there(c, name), compact(wrong.raw)
        says = ("accept", {"yes": True})
        # By its old name the same is asked, and the answer counts the same.
        old = {"action": "remove", "host_id": arguments["host"], "container_id": name, "force": True}
        done = (await asking.call("docker_container", old)).value
        assert done["state"] == "done" and not await there(c, name), compact(done)
    assert len(questions) == 5 and all(name in question for question in questions), questions


async def check_slow_calls_may_be_given_up(c: Context) -> None:
    if not (c.known.hang and c.known.resume):
        return
    slow, brisk = c.known.hosts[-1], c.known.hosts[0]
    await anyio.to_thread.run_sync(c.known.hang)
    try:
        # the client's own time-out
        started = time.monotonic()
        try:
            answer = await c.session.call("container_list", {"hosts": slow}, limit=0.7)
            raise AssertionError(f"a hung engine answered: {compact(answer.raw)}")
        except TimeoutError:
            pass
        assert time.monotonic() - started < 3, "the time-out came late"

        # a cancelled call, and another one answered while it hangs
        async with anyio.create_task_group() as group:
            group.start_soon(c.session.call, "container_list", {"hosts": slow})
            await anyio.sleep(0.2)
            started = time.monotonic()
            rows = (await c.session.call("container_list", {"hosts": brisk})).value["containers"]
            took = time.monotonic() - started
            assert rows and took < 2, f"a brisk host waited {took:.1f} s for a hung one"
            group.cancel_scope.cancel()
        assert (await c.session.call("host_list")).value["hosts"]
    finally:
        await anyio.to_thread.run_sync(c.known.resume)
    # neither session nor host is the worse for it
    await ready_hosts(c.session, c.known)
    rows = (await c.session.call("container_list", {"match": c.known.container})).value["containers"]
    assert [row["host"] for row in rows] == c.known.hosts, compact(rows)


def all_checks() -> list[tuple[str, Callable[[Context], Any]]]:
    """Every check with its name, in the order of this file."""
    here = [(name, f) for name, f in globals().items() if name.startswith("check_") and inspect.iscoroutinefunction(f)]
    return [(name.removeprefix("check_"), f) for name, f in here]
