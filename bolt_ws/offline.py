"""The server's end of a connection that has no server: what `WebSocket.fake` is made of."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, TypedDict

from .context import Identity
from .exceptions import InvalidJSON
from .handshake import Handshake, Scope
from .messages import Message, decode_json, encode_json
from .scopes import make_scope
from .servers import Event
from .values import ValueType, compile_value_type

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser
    from django.contrib.auth.models import AnonymousUser


class FakeOptions(TypedDict, total=False):
    """What `fake()` takes besides messages."""

    path: str
    """The requested path, "/" if none is given; it may have a query behind `?`."""
    query: Mapping[str, Any] | str
    """Query parameters; a list stands for several of one name."""
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    subprotocols: Sequence[str]
    """What the client offers."""
    path_params: Mapping[str, Any]
    """What `websocket.path_params` gives."""
    user: AbstractBaseUser | AnonymousUser | None
    """What `websocket.user` gives; `websocket.context` says that it was authenticated."""
    context: Mapping[str, Any]
    """Items for `websocket.context`, in place of what `user` puts there."""
    auto_accept: bool | None
    """As the endpoint declares it: None accepts at first use, True has accepted already."""
    value_type: Any
    """As the endpoint declares it: `receive_type` and `send_type` in one."""
    receive_type: Any
    """As the endpoint declares it: what `receive()` gives."""
    send_type: Any
    """As the endpoint declares it: what `send()` takes."""
    deny: bool
    """Whether the server can answer a handshake with an HTTP response; True if not given."""
    close_code: int
    """The code that the client leaves with after its last message, 1000 if none is given."""
    close_reason: str


_EXPECTED: dict[str, tuple[type, ...]] = {
    "path": (str,),
    "query": (str, Mapping),
    "headers": (Mapping,),
    "cookies": (Mapping,),
    "subprotocols": (list, tuple),
    "path_params": (Mapping,),
    "context": (Mapping,),
    "auto_accept": (bool, NoneType),
    "deny": (bool,),
    "close_code": (int,),
    "close_reason": (str,),
}


def _check_options(options: FakeOptions) -> None:
    """Raise `TypeError` for an option that is unknown, or of a wrong type."""
    known = FakeOptions.__annotations__
    if unknown := sorted(options.keys() - known.keys()):
        raise TypeError(
            f"fake() has no option {', '.join(map(repr, unknown))}; known are {', '.join(known)}"
        )
    for name, value in options.items():
        expected = _EXPECTED.get(name, (object,))
        if not isinstance(value, expected):
            names = " or ".join(kind.__name__ for kind in expected)
            raise TypeError(f"fake() takes {name} as {names}, not {value!r}")


def value_types(options: FakeOptions) -> tuple[ValueType | None, ValueType | None]:
    """Return how to receive and how to send. Raises `DeclarationError` for what is no type."""
    both = options.get("value_type")
    receive, send = options.get("receive_type", both), options.get("send_type", both)
    return (
        None if receive is None else compile_value_type(receive),
        None if send is None else compile_value_type(send),
    )


# The handshake


def scope_of(options: FakeOptions) -> Scope:
    """Return the scope of a handshake."""
    more: Scope = {"url_route": {"args": (), "kwargs": dict(options.get("path_params", {}))}}
    if not options.get("deny", True):
        more["extensions"] = {}
    if options.get("user") is not None:
        more["user"] = options["user"]
    return make_scope(
        options.get("path", "/"),
        query=options.get("query"),
        headers=options.get("headers", {}),
        cookies=options.get("cookies"),
        subprotocols=options.get("subprotocols", ()),
        scope=more,
    )


def introduce(handshake: Handshake, options: FakeOptions) -> None:
    """Put into the connection's context who is there, as authentication does."""
    user = options.get("user")
    if user is not None:
        if not hasattr(user, "is_authenticated"):
            raise TypeError(f"fake() takes user as a Django user, not {user!r}")
        if user.is_authenticated:
            if user.pk is None:
                raise ValueError("user is not saved: it has no primary key")
            handshake.auth = Identity(
                str(user.pk),
                is_staff=bool(getattr(user, "is_staff", False)),
                is_superuser=bool(getattr(user, "is_superuser", False)),
            )
            handshake.context.identify(handshake.auth, "fake")
    handshake.context.update(options.get("context", {}))


# The messages


class OfflineServer:
    """Gives what the client sends, one after the other, and keeps what is sent to it.

    It checks nothing: the connection lets out nothing that a server would not take.
    """

    __slots__ = ("_incoming", "_last", "events", "scope", "sent")

    def __init__(self, messages: Iterable[Any], options: FakeOptions) -> None:
        _check_options(options)
        self.scope = scope_of(options)
        self._incoming = deque(_as_received(message) for message in messages)
        code = options.get("close_code", 1000)
        if not 1000 <= code <= 4999:
            raise ValueError(f"close_code is 1000 to 4999, not {code!r}")
        reason = options.get("close_reason", "")
        self._last = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self.events: list[Event] = []
        self.sent: list[str | bytes] = []

    async def receive(self) -> Event:
        """Return the next event; after the last one, that the client has left."""
        await _let_others_run()
        return self._incoming.popleft() if self._incoming else dict(self._last)

    async def send(self, event: Event) -> None:
        """Keep an event."""
        self.keep(event)
        await _let_others_run()

    def keep(self, event: Event) -> None:
        """Keep an event, as it is now: the handler may change and send it again."""
        self.events.append(dict(event))
        if event["type"] == "websocket.send":
            text = event.get("text")
            self.sent.append(event["bytes"] if text is None else text)


async def _let_others_run() -> None:
    # As with a real server. Else a handler's other tasks would start after the client has left,
    # and no timeout would stop one that sends for ever.
    await asyncio.sleep(0)


def _as_received(message: Any) -> Event:
    if isinstance(message, str):
        return {"type": "websocket.receive", "text": message}
    if isinstance(message, bytes | bytearray | memoryview):
        return {"type": "websocket.receive", "bytes": bytes(message)}
    if isinstance(message, Message):
        return _as_received_message(message)
    if isinstance(message, dict) and str(message.get("type")).startswith("websocket."):
        return dict(message)
    try:
        return {"type": "websocket.receive", "text": encode_json(message).decode()}
    except (TypeError, ValueError) as error:
        raise TypeError(f"fake() cannot send {message!r}: {error}") from None


def _as_received_message(message: Message) -> Event:
    if message.content is not None:
        return _as_received(message.content)
    if message.is_close():
        reason = message.reason
        return {"type": "websocket.disconnect", "code": message.code or 1005, "reason": reason}
    raise TypeError(f"fake() cannot send {message!r}: no handler receives it")


class Record:
    """What a connection that `fake()` made has sent."""

    __slots__ = ()

    _offline: OfflineServer

    @property
    def sent(self) -> list[str | bytes]:
        """The messages that the client got, texts and binary ones, in order."""
        return self._offline.sent

    @property
    def sent_json(self) -> list[Any]:
        """What the texts among `sent` say. Raises `InvalidJSON` for one that is not JSON."""
        return [_decode(n, each) for n, each in enumerate(self.sent) if isinstance(each, str)]

    @property
    def events(self) -> list[Event]:
        """All ASGI messages to the server, in order: the accept or the refusal is the first."""
        return self._offline.events

    @property
    def accepted(self) -> bool:
        """Whether the connection was accepted, be it closed now or not."""
        return self._answer.get("type") == "websocket.accept"

    @property
    def accepted_subprotocol(self) -> str | None:
        """The subprotocol that the connection was accepted with, if any."""
        subprotocol: str | None = self._answer.get("subprotocol")
        return subprotocol

    @property
    def refused_status(self) -> int | None:
        """The HTTP status that the handshake was refused with, None if it was not refused."""
        if self._answer.get("type") == "websocket.close":  # the server makes it 403
            return 403
        status: int | None = self._answer.get("status")
        return status

    @property
    def _answer(self) -> Event:
        return self.events[0] if self.events else {}


def _decode(number: int, text: str) -> Any:
    try:
        return decode_json(text)
    except InvalidJSON as error:
        raise InvalidJSON(f"sent[{number}] is {text!r}", text) from error
