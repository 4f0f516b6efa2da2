"""What a test is told of a connection that did not do as expected."""

from __future__ import annotations

import json
from typing import Any

from .. import threads
from ..servers import Event
from ..states import WebSocketState
from .server_end import ServerEnd, serving
from .stacks import stack_of_task, stack_of_thread
from .work import stack_of_work

_SHOWN = 10
"""So many of the messages that had come are shown."""
_LENGTH = 200
"""So many characters of each."""


class Unexpected(AssertionError):
    """The application did something else than the test asked for."""


class WebSocketTimeout(TimeoutError, AssertionError):
    """The application did not do in time what the test waits for."""


class WebSocketRefused(Exception):
    """The handshake was refused: `status`, `headers` by lower-case name, and `body`.

    `close_code` and `close_reason` are those of a `websocket.close`, which servers make a 403.
    """

    def __init__(
        self,
        path: str,
        status: int,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        close_code: int | None = None,
        close_reason: str = "",
    ) -> None:
        self.path = path
        self.status = status
        self.headers = headers or {}
        self.body = body
        self.close_code = close_code
        self.close_reason = close_reason
        what = f" {_cut(body.decode(errors='replace'))}" if body else ""
        if close_code is not None:
            what = f" (closed with {close_code} {close_reason}".rstrip() + ")"
        super().__init__(f"{path!r} refused the handshake with {status}{what}")

    def json(self) -> Any:
        """Return what the body says. Raises `ValueError` if it is no JSON."""
        return json.loads(self.body)


def check_refusal(
    refused: WebSocketRefused, status: int | None, error: BaseException | None
) -> None:
    """Raise `Unexpected` unless it is as asked for. `error` is what left the application."""
    if status is None and error is not None:
        raise Unexpected(
            f"Expected {refused.path!r} to refuse the handshake, but it failed with {error!r} "
            f"(for that, ask for {refused.status})"
        ) from error
    if status not in (None, refused.status):
        raise Unexpected(f"Expected {status}, but {refused}") from error


async def refusal_of(
    server: ServerEnd, answer: Event | None, timeout: float | None
) -> WebSocketRefused:
    """Return what an answer to a handshake that is no accept means to the client."""
    path = server.scope["path"]
    if answer is None:  # the application ended: a server answers in its place
        task = server.task
        assert task is not None
        failed = not task.cancelled() and task.exception() is not None
        return WebSocketRefused(path, 500 if failed else 403)
    if answer["type"] == "websocket.close":
        code = answer.get("code", 1000)
        return WebSocketRefused(path, 403, close_code=code, close_reason=answer.get("reason") or "")
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in answer.get("headers") or ()
    }
    body, is_complete = b"", False
    while not is_complete:
        try:
            part = await server.next(timeout)
        except TimeoutError:
            break
        if part is None:
            break
        body += part.get("body", b"")
        is_complete = not part.get("more_body", False)
    return WebSocketRefused(path, answer["status"], headers, body)


def describe(event: Event) -> str:
    """Return an ASGI message of the application in a few words."""
    kind = event["type"].removeprefix("websocket.")
    if kind == "send":
        text = event.get("text")
        return f"bytes {_cut(event['bytes'])}" if text is None else f"text {_cut(text)}"
    if kind == "close":
        return f"close {event.get('code', 1000)} {event.get('reason') or ''}".rstrip()
    if kind == "http.response.start":
        return f"response {event.get('status')}"
    return str(kind)


def not_answered(server: ServerEnd, patience: float | None) -> str:
    """Return what to say of a handshake without an answer."""
    hint = (
        "A handler answers it with accept(), with its first send or receive, or when it ends."
        if server.state is WebSocketState.CONNECTING
        else ""
    )
    return "\n".join(
        filter(
            None,
            [
                f"{server.scope['path']!r} did not answer the handshake within {patience:g} s.",
                _arrived(server),
                where_it_is(server),
                hint,
            ],
        )
    )


def not_sent(server: ServerEnd, what: str, patience: float | None) -> str:
    """Return what to say of a message that did not come."""
    return "\n".join(
        [
            f"No {what} came from {server.scope['path']!r} within {patience:g} s.",
            _arrived(server),
            where_it_is(server),
        ]
    )


def where_it_is(server: ServerEnd) -> str:
    """Return where the application stands, as the end of a message."""
    task = server.task
    assert task is not None
    if task.done():
        return "The application has ended."
    return note_of_work() or _where_it_waits(server)


def note_of_work() -> str | None:
    """Return what to say where the test's thread is busy, which keeps a connection waiting."""
    stack = stack_of_work()
    if stack is None:
        return None
    return f"Django's synchronous code runs, in the test's thread, and cannot be stopped:\n{stack}"


def _where_it_waits(server: ServerEnd) -> str:
    task = server.task
    assert task is not None
    threads = threads_of(server)
    if threads:
        return f"The handler runs, in a thread:\n{stack_of_thread(threads[0])}"
    return f"The application runs, and waits here:\n{stack_of_task(task)}"


def threads_of(server: ServerEnd) -> list[int]:
    """Return the threads in which blocking handlers of the connection run."""
    return [
        thread
        for context, thread in threads.running()
        if context.get(serving) is server and thread is not None
    ]


def _arrived(server: ServerEnd) -> str:
    read = server.sent[: server.read]
    if not read:
        return "Nothing had come before."
    shown = ", ".join(map(describe, read[-_SHOWN:]))
    return f"Before, there came: {'..., ' if len(read) > _SHOWN else ''}{shown}."


def _cut(data: str | bytes) -> str:
    shown = repr(data[:_LENGTH])
    return f"{shown}... ({len(data)} in all)" if len(data) > _LENGTH else shown
