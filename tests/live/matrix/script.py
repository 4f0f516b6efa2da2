"""The steps of a script, as tests write them."""

from typing import Any

Step = tuple[Any, ...]

RECEIVE: Step = ("receive_one",)
RECEIVE_UNTIL_GONE: Step = ("receive_until_gone",)
RECEIVE_AGAIN: Step = ("receive_again",)
ECHO: Step = ("echo",)
MEASURE: Step = ("measure",)
TELL_SCOPE: Step = ("tell_scope",)


def send(kind: str, **keys: Any) -> Step:
    """An event of type `websocket.<kind>`."""
    return ("send_one", event(kind, **keys))


def event(kind: str, **keys: Any) -> dict[str, Any]:
    return {"type": f"websocket.{kind}", **keys}


def close(code: int, reason: str | None = None) -> Step:
    return send("close", code=code, reason=reason)


def text(text: str) -> Step:
    return send("send", text=text)


ACCEPT = send("accept")


def start(status: int, *headers: tuple[bytes, bytes]) -> Step:
    """The beginning of a denial response."""
    return send("http.response.start", status=status, headers=list(headers))


def body(content: bytes, *, more: bool = False) -> Step:
    """A part of its body."""
    return send("http.response.body", body=content, more_body=more)


def raises(text: str) -> Step:
    return ("raise_error", text)


def kind_of(outcome: Any) -> str:
    """Return what became of an event: "sent", "OSError" or the name of another exception."""
    if outcome == "sent":
        return "sent"
    names, _ = outcome
    return "OSError" if "OSError" in names else str(names[0])
