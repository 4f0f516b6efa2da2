"""Random sequences of events and calls, against a model of the ASGI specification.

Whatever a handler does and a client sends, no illegal message reaches the server, exactly one
message ends the connection, and no task is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bolt_ws import BoltAPI, WebSocket, WebSocketDisconnect, WebSocketException, WebSocketState

Event = dict[str, Any]


class Server:
    """What an ASGI server allows: the tables of the specification, "WebSocket"."""

    legal = {
        "connecting": {
            "websocket.accept": "connected",
            "websocket.close": "ended",
            "websocket.http.response.start": "response",
        },
        "connected": {"websocket.send": "connected", "websocket.close": "ended"},
        "response": {"websocket.http.response.body": "response"},
        "answering": {},
        "ended": {},
    }

    def __init__(self, *, can_deny: bool, fails_at: int | None) -> None:
        self.state = "connecting"
        self.sent: list[Event] = []
        self.illegal: list[Event] = []
        self.disconnect_was_read = False
        self.fails_at = fails_at
        self.inbound: asyncio.Queue[Event] = asyncio.Queue()
        extensions = {"websocket.http.response": {}} if can_deny else {}
        self.scope = {
            "type": "websocket",
            "path": "/",
            "query_string": b"",
            "headers": [],
            "subprotocols": ["chat"],
            "extensions": extensions,
        }

    async def receive(self) -> Event:
        event = await self.inbound.get()
        self.disconnect_was_read |= event["type"] == "websocket.disconnect"
        return event

    async def send(self, event: Event) -> None:
        self.sent.append(event)
        after = self.legal[self.state].get(event["type"])
        if after is None or self.disconnect_was_read or not is_well_formed(event):
            self.illegal.append(event)
            return
        if event["type"] == "websocket.http.response.body" and not event.get("more_body"):
            after = "ended"
        self.state = "answering" if event["type"] == "websocket.accept" else after
        try:
            await asyncio.sleep(0)  # a server may suspend anywhere
        finally:
            self.state = after  # who is cancelled has handed the message over all the same
        if self.fails_at == len(self.sent):
            self.disconnect_was_read = True
            raise OSError("the client is gone")


def is_well_formed(event: Event) -> bool:
    match event["type"]:
        case "websocket.send":
            return isinstance(event.get("text"), str) != isinstance(event.get("bytes"), bytes)
        case "websocket.close":
            code = event["code"]
            legal = code in {*range(1000, 1004), *range(1007, 1015)} or 3000 <= code <= 4999
            return legal and len((event.get("reason") or "").encode()) <= 123
        case "websocket.accept":
            return event.get("subprotocol") in (None, "chat")
    return True


HANGING: list[asyncio.Task[Any]] = []
INBOUND = st.sampled_from(
    [
        {"type": "websocket.receive", "text": "[1]"},
        {"type": "websocket.receive", "text": "", "bytes": None},
        {"type": "websocket.receive", "bytes": b"x"},
        {"type": "websocket.disconnect", "code": 1001, "reason": "gone"},
    ]
)
RAW = st.sampled_from(
    [
        {"type": "websocket.send", "text": "raw"},
        {"type": "websocket.send", "text": "both", "bytes": b"both"},
        {"type": "websocket.send"},
        {"type": "websocket.accept"},
        {"type": "websocket.accept", "subprotocol": "unoffered"},
        {"type": "websocket.close"},
        {"type": "websocket.close", "code": 1006},
        {"type": "websocket.http.response.start", "status": 403, "headers": []},
        {"type": "websocket.http.response.body", "body": b"x", "more_body": True},
        {"type": "websocket.http.response.body", "body": b"x"},
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "nonsense"},
    ]
)
CODES = st.sampled_from([0, 999, 1000, 1001, 1005, 1006, 1011, 1015, 2000, 3000, 4999, 5000])


async def _give_up(awaitable: Awaitable[Any]) -> Any:
    async with asyncio.timeout(0):
        return await awaitable


async def _beside(websocket: WebSocket, *calls: Callable[[WebSocket], Awaitable[Any]]) -> None:
    """Make calls in tasks of their own, at once."""
    tasks = [asyncio.ensure_future(call(websocket)) for call in calls]
    _, hanging = await asyncio.wait(tasks, timeout=2)
    HANGING.extend(hanging)
    for task in hanging:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


async def _enter(websocket: WebSocket) -> None:
    async with websocket:
        await websocket.send_text("inside")


def _receive(websocket: WebSocket) -> Awaitable[Any]:
    return websocket.receive_text()


CALLS = st.one_of(
    st.sampled_from(
        [
            lambda websocket: websocket.accept(),
            lambda websocket: websocket.accept(subprotocol="chat", headers=[(b"x-a", b"b")]),
            lambda websocket: websocket.accept(subprotocol="unoffered"),
            lambda websocket: websocket.accept(headers=[("a", "b\r\nc: d")]),
            lambda websocket: websocket.send_text("text"),
            lambda websocket: websocket.send_bytes(b"bytes"),
            lambda websocket: websocket.send_json({"a": [1]}),
            lambda websocket: websocket.send_json(object()),
            lambda websocket: websocket.broadcast("all"),
            lambda websocket: _give_up(websocket.receive()),
            lambda websocket: _give_up(websocket.receive_text()),
            lambda websocket: _give_up(websocket.receive_bytes()),
            lambda websocket: _give_up(websocket.receive_json()),
            lambda websocket: websocket.reject(404, "not here"),
            lambda websocket: websocket.ensure_closed(),
            _enter,
            lambda websocket: _beside(websocket, _receive, lambda ws: ws.close(4000)),
            lambda websocket: _beside(
                websocket, lambda ws: ws.send_text("a"), lambda ws: ws.send_text("b")
            ),
            lambda websocket: _beside(websocket, lambda ws: ws.close(), lambda ws: ws.close()),
        ]
    ),
    RAW.map(lambda event: lambda websocket: websocket.send_event(dict(event))),
    RAW.map(lambda event: lambda websocket: websocket.send(dict(event))),
    CODES.map(lambda code: lambda websocket: websocket.close(code, "because")),
)
WAYS_OUT = st.sampled_from(
    [None, ValueError("bug"), WebSocketException(4001, "no"), WebSocketDisconnect(1000), "cancel"]
)


@given(
    calls=st.lists(CALLS, max_size=8),
    inbound=st.lists(INBOUND, max_size=5),
    auto_accept=st.sampled_from([None, True, False]),
    way_out=WAYS_OUT,
    lets_escape=st.booleans(),
    can_deny=st.booleans(),
    fails_at=st.none() | st.integers(1, 6),
    says_farewell=st.booleans(),
)
@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
def test_no_illegal_message_and_one_end(
    calls: list[Callable[[WebSocket], Awaitable[Any]]],
    inbound: list[Event],
    auto_accept: bool | None,
    way_out: Any,
    lets_escape: bool,
    can_deny: bool,
    fails_at: int | None,
    says_farewell: bool,
) -> None:
    HANGING.clear()
    server = Server(can_deny=can_deny, fails_at=fails_at)
    api = BoltAPI()
    closes: list[tuple[int, str]] = []

    @api.websocket("/", auto_accept=auto_accept)
    async def handler(websocket: WebSocket) -> None:
        for call in calls:
            state_before = websocket.state
            sent_before = len(server.sent)
            try:
                await call(websocket)
            except (ValueError, TypeError):
                # Refused before anything was sent: an illegal message changes nothing, but for the
                # accept that the first use had made.
                assert len(server.sent) - sent_before <= 1
                if len(server.sent) == sent_before:
                    assert websocket.state is state_before
                if lets_escape:
                    raise
            except Exception:
                if lets_escape:
                    raise
            agrees(websocket, server)
        if way_out == "cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        elif way_out is not None:
            raise way_out

    if says_farewell:

        @handler.on_close
        async def on_close(websocket: WebSocket, code: int, reason: str) -> str:
            closes.append((code, reason))
            return "farewell"

    async def run() -> None:
        server.inbound.put_nowait({"type": "websocket.connect"})
        for event in inbound:
            server.inbound.put_nowait(dict(event))
        application = api.as_asgi()
        task = asyncio.ensure_future(application(server.scope, server.receive, server.send))
        await asyncio.wait([task], timeout=20)
        assert task.done(), "the connection hangs"
        if not task.cancelled():
            task.exception()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(run())
    assert not HANGING, HANGING
    assert not server.illegal, server.sent
    if not server.disconnect_was_read:
        assert server.state == "ended", server.sent
    assert len(closes) == int(says_farewell)


def agrees(websocket: WebSocket, server: Server) -> None:
    if server.disconnect_was_read:
        assert websocket.state is WebSocketState.DISCONNECTED
    else:
        expected = {
            "connecting": WebSocketState.CONNECTING,
            "connected": WebSocketState.CONNECTED,
            "response": WebSocketState.RESPONSE,
            "ended": WebSocketState.DISCONNECTED,
        }
        assert websocket.state is expected[server.state]
