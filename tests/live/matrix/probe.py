"""A bare ASGI application: it plays the script of a client, and tells another what it saw."""

import ast
import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

PATIENCE = 5.0
"""Seconds that a step waits for what another connection does."""


@dataclass
class Play:
    """One connection's script, played."""

    outcomes: list[Any] = field(default_factory=list)
    """What each step saw."""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


plays: defaultdict[str, Play] = defaultdict(Play)
signals: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def application(scope: Event, receive: Receive, send: Send) -> None:
    """Play the literal in the header `script`, and keep what it saw under the header `name`.

    A handshake without them is taken for good, and no more.
    """
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a page"})
        return
    if scope["type"] != "websocket":
        raise ValueError("the probe speaks WebSocket")
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    if b"name" not in headers:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        return
    play = plays[headers[b"name"]]
    play.started.set()
    try:
        for step, *arguments in ast.literal_eval(headers[b"script"]):
            play.outcomes.append(await STEPS[step](scope, receive, send, *arguments))
    except asyncio.CancelledError:
        play.outcomes.append("cancelled")
        raise
    finally:
        play.ended.set()


async def receive_one(scope: Event, receive: Receive, send: Send) -> Event:
    return await receive()


async def receive_again(scope: Event, receive: Receive, send: Send) -> Event | str:
    """Receive after the end."""
    try:
        async with asyncio.timeout(0.2):
            return await receive()
    except TimeoutError:
        return "no answer"


async def send_one(scope: Event, receive: Receive, send: Send, event: Event) -> Any:
    """Send an event, and say what was raised."""
    try:
        await send(event)
    except Exception as error:
        return [each.__name__ for each in type(error).__mro__], str(error)
    return "sent"


async def receive_until_gone(scope: Event, receive: Receive, send: Send) -> list[Event]:
    received = [await receive()]
    while received[-1]["type"] != "websocket.disconnect":
        received.append(await receive())
    return received


async def echo(scope: Event, receive: Receive, send: Send) -> Event:
    """Send back each message, and return the disconnect."""
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.receive":
            await send({**event, "type": "websocket.send"})
    return event


async def count(scope: Event, receive: Receive, send: Send) -> list[int]:
    """Return how many messages of bytes came before the end, and how many bytes."""
    sizes: list[int] = []
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.receive":
            sizes.append(len(event["bytes"]))
    return [len(sizes), sum(sizes)]


async def measure(scope: Event, receive: Receive, send: Send) -> Event:
    """Answer each message with its kind and length, and return the disconnect."""
    while (event := await receive())["type"] != "websocket.disconnect":
        if event["type"] == "websocket.receive":
            kind = "text" if event.get("text") is not None else "bytes"
            await send({"type": "websocket.send", "text": f"{kind} {len(event[kind])}"})
    return event


async def send_large(scope: Event, receive: Receive, send: Send, size: int) -> Any:
    return await send_one(scope, receive, send, {"type": "websocket.send", "text": "x" * size})


async def send_prepared(scope: Event, receive: Receive, send: Send, *messages: Any) -> Any:
    """Send messages by the extension of our Daphne, each of them twice."""
    prepare = scope["extensions"]["bolt_ws.prepared"]["prepare"]
    for prepared in map(prepare, messages):
        for _ in range(2):
            await send({"type": "websocket.send", "prepared": prepared})


async def send_for(
    scope: Event, receive: Receive, send: Send, size: int, times: int, seconds: float
) -> str:
    """Send large messages, and say whether that took longer."""
    try:
        async with asyncio.timeout(seconds):
            for _ in range(times):
                await send({"type": "websocket.send", "bytes": bytes(size)})
    except TimeoutError:
        return "waited"
    return "sent all"


async def send_until_it_fails(
    scope: Event, receive: Receive, send: Send, event: Event, seconds: float
) -> Any:
    """Send an event again and again, and say what was raised at last."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await send(event)
                await asyncio.sleep(0.01)
    except TimeoutError:
        return "sent"
    except Exception as error:
        return [each.__name__ for each in type(error).__mro__], str(error)


async def raise_error(scope: Event, receive: Receive, send: Send, text: str) -> None:
    raise RuntimeError(text)


async def wait_for(scope: Event, receive: Receive, send: Send, name: str) -> str:
    """Wait until another connection has come to `give_signal`."""
    async with asyncio.timeout(PATIENCE):
        await signals[name].wait()
    return "waited"


async def give_signal(scope: Event, receive: Receive, send: Send, name: str) -> str:
    signals[name].set()
    return "signalled"


async def started(scope: Event, receive: Receive, send: Send, name: str) -> str:
    """Wait until the script of another connection is played."""
    async with asyncio.timeout(PATIENCE):
        await plays[name].started.wait()
    return "started"


async def hang(scope: Event, receive: Receive, send: Send, *farewells: Event) -> None:
    """Wait until cancelled, and send what is left to say."""
    try:
        await asyncio.Event().wait()
    finally:
        for farewell in farewells:
            await send(farewell)


def plain(outcome: Any) -> Any:
    """Return an outcome as a literal can say it: the number of an enum, for one."""
    if isinstance(outcome, MutableMapping):
        return {key: plain(value) for key, value in outcome.items()}
    if isinstance(outcome, list):
        return [plain(each) for each in outcome]
    return int(outcome) if isinstance(outcome, int) else outcome


async def tell(scope: Event, receive: Receive, send: Send, name: str) -> str:
    """Send what the script of another connection saw, once it has ended."""
    async with asyncio.timeout(PATIENCE):
        await plays[name].ended.wait()
    await send({"type": "websocket.send", "text": repr(plain(plays[name].outcomes))})
    return "told"


async def tell_scope(scope: Event, receive: Receive, send: Send) -> str:
    """Send the scope, but of its extensions only the names."""
    extensions = sorted(scope["extensions"]) if "extensions" in scope else None
    await send({"type": "websocket.send", "text": repr({**scope, "extensions": extensions})})
    return "told"


STEPS: dict[str, Callable[..., Awaitable[Any]]] = {
    step.__name__: step
    for step in (
        receive_one,
        receive_again,
        send_one,
        receive_until_gone,
        echo,
        measure,
        count,
        send_large,
        send_prepared,
        send_for,
        send_until_it_fails,
        raise_error,
        wait_for,
        give_signal,
        started,
        hang,
        tell,
        tell_scope,
    )
}
