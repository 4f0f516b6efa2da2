"""A handler's arguments."""

import enum
import json
import uuid
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, Optional

import pytest

from bolt_ws import BoltAPI, DeclarationError, WebSocket
from tests.support import Connection, serve, status, talk


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


async def bound(
    handler: Callable[..., Any], path: str = "/", query: str = "", pattern: str = "/"
) -> Any:
    """What `handler` was called with: it returns it."""
    seen: list[Any] = []

    async def note(*args: Any, **kwargs: Any) -> None:
        seen.append(await handler(*args, **kwargs))

    note.__wrapped__ = handler  # type: ignore[attr-defined]  # its signature is the handler's
    await talk(serve(note, pattern), path, query=query)
    return seen[0]


async def refused(annotation: Any, query: str) -> str:
    """Why a parameter `n` of this type is refused."""

    async def handler(websocket: WebSocket, n: Any) -> None:
        raise AssertionError("the handler must not run")

    handler.__annotations__["n"] = annotation
    connection = Connection(serve(handler), query=query, deny=True)
    sent = await connection.end()
    assert sent[0]["status"] == 422
    body = json.loads(sent[1]["body"])
    assert body["code"] == "invalid_parameters"
    return str(body["detail"])


@pytest.mark.parametrize(
    ("annotation", "query", "expected"),
    [
        (str, "n=1", "1"),
        (str, "n=", ""),
        (str, "n=%C3%A9+x", "é x"),
        (str, "n=null", "null"),
        (int, "n=-7", -7),
        (int, "n=1&n=2", 2),
        (float, "n=1.5", 1.5),
        (float, "n=1", 1.0),
        (bool, "n=true", True),
        (bool, "n=True", True),
        (bool, "n=1", True),
        (bool, "n=false", False),
        (bool, "n=0", False),
        (uuid.UUID, f"n={uuid.UUID(int=5)}", uuid.UUID(int=5)),
        (int | None, "n=3", 3),
        (str | None, "n=null", "null"),
        (Optional[int], "n=3", 3),  # noqa: UP045
        (Literal["a", "b"], "n=b", "b"),
        (Literal[1, 2], "n=2", 2),
        (Colour, "n=blue", Colour.BLUE),
        (Level, "n=2", Level.HIGH),
        (list[int], "n=1&n=2", [1, 2]),
        (list[str], "n=1", ["1"]),
        (list[Colour], "n=red&n=blue", [Colour.RED, Colour.BLUE]),
        (list[int] | None, "n=1&n=2", [1, 2]),
        (tuple[int, ...], "n=1&n=2", (1, 2)),
        (set[int], "n=1&n=1", {1}),
        (Any, "n=x", "x"),
        (Annotated[int, "a note"], "n=4", 4),
    ],
)
async def test_a_query_parameter_is_converted(annotation: Any, query: str, expected: Any) -> None:
    async def handler(websocket: WebSocket, n: Any) -> Any:
        return n

    handler.__annotations__["n"] = annotation
    value = await bound(handler, query=query)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "query", "detail"),
    [
        (int, "n=abc", "Invalid value 'abc' for parameter 'n': expected int"),
        (int, "n=1.5", "Invalid value '1.5' for parameter 'n': expected int"),
        (int, "n=", "Invalid value '' for parameter 'n': expected int"),
        (int, "", "Missing parameter 'n'"),
        (float, "n=x", "Invalid value 'x' for parameter 'n': expected float"),
        (float, "n=nan", "Invalid value 'nan' for parameter 'n': expected float"),
        (float, "n=inf", "Invalid value 'inf' for parameter 'n': expected float"),
        (float, "n=1e999", "Invalid value '1e999' for parameter 'n': expected float"),
        (list[float], "n=1&n=inf", "expected list[float]"),
        (bool, "n=yes", "Invalid value 'yes' for parameter 'n': expected bool"),
        (uuid.UUID, "n=5", "Invalid value '5' for parameter 'n': expected UUID"),
        (int | None, "n=x", "expected int"),
        (Literal["a", "b"], "n=c", "expected 'a' or 'b'"),
        (Colour, "n=green", "expected 'red' or 'blue'"),
        (list[int], "n=1&n=x", "Invalid value ['1', 'x'] for parameter 'n': expected list[int]"),
        (int, "n=%F0%9F%99%82", "Invalid value '🙂' for parameter 'n'"),
        (int, "n=" + "9" * 5000, "expected int"),
        (list[int], "", "Missing parameter 'n'"),
    ],
)
async def test_what_does_not_convert_is_refused_by_name(
    annotation: Any, query: str, detail: str
) -> None:
    assert detail in await refused(annotation, query)


async def test_a_long_value_is_not_repeated_in_full() -> None:
    assert len(await refused(int, "n=" + "x" * 5000)) < 200


async def test_all_errors_are_told_at_once() -> None:
    async def handler(websocket: WebSocket, a: int, b: float, c: str) -> None: ...

    sent = await talk(serve(handler), query="a=x&b=y", deny=True)
    assert sent[0]["status"] == 422
    for said in (b"parameter 'a'", b"parameter 'b'", b"parameter 'c'"):
        assert said in sent[1]["body"]


async def test_a_default_stands_in_and_is_not_converted() -> None:
    marker = object()

    async def handler(
        websocket: WebSocket, a: int = 5, b: Any = marker, c: int | None = None
    ) -> Any:
        return a, b, c

    assert await bound(handler) == (5, marker, None)


async def test_a_path_parameter_is_converted_by_its_annotation() -> None:
    async def handler(websocket: WebSocket, n: int) -> Any:
        return n, websocket.path_params["n"]

    assert await bound(handler, "/12", pattern="/{n}") == (12, "12")


async def test_a_converter_made_what_the_annotation_wants() -> None:
    async def handler(websocket: WebSocket, key: uuid.UUID, n: str) -> Any:
        return key, n

    key = uuid.UUID(int=9)
    assert await bound(handler, f"/{key}/3", pattern="/{key:uuid}/{n:int}") == (key, "3")


async def test_a_path_parameter_that_does_not_convert_is_refused() -> None:
    async def handler(websocket: WebSocket, n: int) -> None: ...

    assert await status(serve(handler, "/{n}"), "/x") == 422


async def test_a_path_parameter_need_not_be_in_the_signature() -> None:
    async def handler(websocket: WebSocket) -> Any:
        return dict(websocket.path_params)

    assert await bound(handler, "/a/3", pattern="/{x}/{y:int}") == {"x": "a", "y": 3}


async def test_the_path_goes_before_the_query() -> None:
    async def handler(websocket: WebSocket, n: str) -> Any:
        return n

    assert await bound(handler, "/path", query="n=query", pattern="/{n}") == "path"


async def test_an_unannotated_parameter_is_text() -> None:
    async def handler(websocket: WebSocket, n) -> Any:  # type: ignore[no-untyped-def]
        return n

    assert await bound(handler, query="n=1") == "1"


async def test_the_first_parameter_without_annotation_is_the_connection() -> None:
    async def handler(ws, n: int) -> Any:  # type: ignore[no-untyped-def]
        return type(ws), n

    assert await bound(handler, query="n=1") == (WebSocket, 1)


async def test_the_connection_is_found_by_annotation_wherever_it_stands() -> None:
    seen: list[Any] = []

    async def handler(n: int, connection: WebSocket) -> None:
        seen.extend([n, type(connection)])

    await talk(serve(handler), query="n=1")
    assert seen == [1, WebSocket]


async def test_the_connection_under_a_string_annotation() -> None:
    async def handler(n: "int", connection: "WebSocket") -> None:
        seen.append(n)

    seen: list[int] = []
    await talk(serve(handler), query="n=1")
    assert seen == [1]


async def test_positional_only_and_keyword_only_parameters() -> None:
    seen: list[Any] = []

    async def handler(websocket: WebSocket, a: int, /, b: int, *, c: int = 3) -> None:
        seen.append((a, b, c))

    await talk(serve(handler), query="a=1&b=2")
    assert seen == [(1, 2, 3)]


async def test_a_partial_binds_what_it_does_not_hold() -> None:
    seen: list[Any] = []

    async def handler(kind: str, websocket: WebSocket, n: int) -> None:
        seen.append((kind, n))

    await talk(serve(partial(handler, "a")), query="n=1")
    assert seen == [("a", 1)]


def test_a_handler_without_a_connection_is_an_error() -> None:
    async def handler(n: int) -> None: ...

    with pytest.raises(DeclarationError, match="no parameter for the connection"):
        serve(handler)


def test_a_handler_without_parameters_is_an_error() -> None:
    async def handler() -> None: ...

    with pytest.raises(DeclarationError, match="no parameter for the connection"):
        serve(handler)


def test_two_connections_are_an_error() -> None:
    async def handler(a: WebSocket, b: WebSocket) -> None: ...

    with pytest.raises(DeclarationError, match="a and b both ask for the connection"):
        serve(handler)


def test_star_args_are_an_error() -> None:
    async def handler(websocket: WebSocket, *args: int) -> None: ...

    with pytest.raises(DeclarationError, match=r"'\*args: int' of a handler cannot be filled"):
        serve(handler)


def test_star_kwargs_are_an_error() -> None:
    async def handler(websocket: WebSocket, **kwargs: int) -> None: ...

    with pytest.raises(DeclarationError, match="cannot be filled"):
        serve(handler)


@pytest.mark.parametrize(
    "annotation", [dict[str, int], object, BoltAPI, bytes, list[dict[str, int]]]
)
def test_a_type_that_no_url_can_hold_is_an_error(annotation: Any) -> None:
    async def handler(websocket: WebSocket, n: Any) -> None: ...

    handler.__annotations__["n"] = annotation
    with pytest.raises(DeclarationError, match=r"parameter 'n': .* cannot be read from a URL"):
        serve(handler)


def test_an_annotation_that_does_not_exist_at_runtime_is_named() -> None:
    async def handler(websocket: WebSocket, n: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DeclarationError, match=r"'Nowhere', which tests\.test_parameters"):
        serve(handler)


def test_an_error_names_the_endpoint() -> None:
    async def lobby() -> None: ...

    with pytest.raises(DeclarationError, match="'lobby' at '/ws/lobby'"):
        serve(lobby, "/ws/lobby")
