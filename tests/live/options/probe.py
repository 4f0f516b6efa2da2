"""A bare ASGI application that does over a WebSocket what its path says."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[Any], Awaitable[None]]


async def probe(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """`/echo/anything`, `/close/4001/reason` and so on: one of the functions below."""
    name, *arguments = scope["path"].strip("/").split("/")
    assert (await receive())["type"] == "websocket.connect"
    await PROBES[name](scope, receive, send, *arguments)


async def echo(scope: dict[str, Any], receive: Receive, send: Send, *name: str) -> None:
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})
    if name:
        print(f"{name[0]} ended with {message['code']}", flush=True)


async def counts(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Say of each message how long it was."""
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        data = message.get("bytes") or message.get("text") or ""
        await send({"type": "websocket.send", "text": str(len(data))})


async def tell_scope(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})

    def plain(value: object) -> str:
        return value.decode("latin1") if isinstance(value, bytes) else repr(value)

    text = json.dumps(scope, default=plain)
    await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close"})


async def close(
    scope: dict[str, Any], receive: Receive, send: Send, code: str, reason: str
) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": int(code), "reason": reason})


async def refuse(scope: dict[str, Any], receive: Receive, send: Send, *name: str) -> None:
    await send({"type": "websocket.close"})


async def deny(
    scope: dict[str, Any], receive: Receive, send: Send, status: str, *name: str
) -> None:
    """Deny with a response where the server can, else refuse."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        return await refuse(scope, receive, send)
    start = {"type": "websocket.http.response.start", "status": int(status)}
    await send({**start, "headers": [(b"content-type", b"text/plain")]})
    body = {"type": "websocket.http.response.body"}
    await send({**body, "body": b"denied, ", "more_body": True})
    await send({**body, "body": b"in two parts"})


async def wait(scope: dict[str, Any], receive: Receive, send: Send, name: str) -> None:
    """Never accept."""
    message = await receive()
    print(f"{name} got {message['type']}", flush=True)


async def accept_late(scope: dict[str, Any], receive: Receive, send: Send, seconds: str) -> None:
    await asyncio.sleep(float(seconds))
    await echo(scope, receive, send)


async def stay(scope: dict[str, Any], receive: Receive, send: Send, name: str) -> None:
    """Do not look whether the client is still there."""
    await send({"type": "websocket.accept"})
    try:
        await asyncio.sleep(60)
    finally:
        print(f"{name} was cancelled", flush=True)


async def break_down(scope: dict[str, Any], receive: Receive, send: Send, *name: str) -> None:
    raise RuntimeError("the probe broke")


PROBES: dict[str, Callable[..., Awaitable[None]]] = {
    "accept-late": accept_late,
    "break": break_down,
    "close": close,
    "counts": counts,
    "deny": deny,
    "echo": echo,
    "refuse": refuse,
    "scope": tell_scope,
    "stay": stay,
    "wait": wait,
}
