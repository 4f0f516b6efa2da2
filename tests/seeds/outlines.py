"""A page's outline of a class, with nothing but docstrings in it, against the class of ours."""

import inspect
from typing import Any

from bolt_ws import WebSocket

"""Parameters that have another name with us: `send()` takes more than messages."""


def check_outline(outline: type, ours: type) -> None:
    """See that `ours` has what `outline` lists, to be called and read in the same way."""
    listed = {
        name: member
        for name, member in vars(outline).items()
        if inspect.isfunction(member) or isinstance(member, property)
    }
    assert listed, f"{outline} lists nothing"
    for name, member in listed.items():
        assert hasattr(ours, name), f"{ours} has no {name}"
        if inspect.isfunction(member):
            _check_signature(name, member, getattr(ours, name))


def _check_signature(name: str, outlined: Any, ours: Any) -> None:
    expected = list(inspect.signature(outlined).parameters.values())
    actual = list(inspect.signature(ours).parameters.values())
    where = f"{name}{inspect.signature(ours)}, not {name}{inspect.signature(outlined)}"
    assert len(actual) >= len(expected), where
    for one, other in zip(expected, actual, strict=False):
        assert other.kind is one.kind, where
        assert other.default == one.default, where
        if one.kind not in (one.POSITIONAL_ONLY, one.VAR_KEYWORD):
            assert other.name == one.name, where
    for more in actual[len(expected) :]:
        assert more.default is not more.empty, where


async def exercise(websocket: WebSocket, outline: type) -> None:
    """Send what all the properties of `outline` are, then answer with each pair of methods."""
    before = {name: getattr(websocket, name).name for name in ("client_state", "application_state")}
    await websocket.accept("chat", [(b"x-outline", b"yes")])
    await websocket.send_json(before)
    await websocket.send_json(
        {
            name: _read(websocket, name)
            for name, member in vars(outline).items()
            if isinstance(member, property)
        }
    )
    event = await websocket.receive()
    await websocket.send({"type": "websocket.send", "text": f"{event['type']}: {event['text']}"})
    await websocket.send_text(await websocket.receive_text())
    await websocket.send_bytes(await websocket.receive_bytes())
    await websocket.send_json(await websocket.receive_json())
    await websocket.send_json(await websocket.receive_json("binary"), "binary")
    async for text in websocket.iter_text():
        await websocket.send_text(text)
        break
    async for data in websocket.iter_bytes():
        await websocket.send_bytes(data)
        break
    async for value in websocket.iter_json("binary"):
        await websocket.send_json(value)
        break
    await websocket.send_text(websocket.url_for("surface", number=8))
    await websocket.close(1000, "Done")


def _read(websocket: WebSocket, name: str) -> str:
    try:
        return str(getattr(websocket, name))
    except RuntimeError as error:
        return f"RuntimeError: {error}"
