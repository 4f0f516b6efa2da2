"""Arguments: what a signature asks for, and what the handshake says."""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import functools
import math
import sys
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

import msgspec
import pydantic
import pytest
from django.http import HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from bolt_ws.dependencies import Dependencies
from bolt_ws.exceptions import DeclarationError, Refusal
from bolt_ws.markers import Cookie, Depends, Header, Path, Query
from bolt_ws.parameters import bind_all, compile_binder
from bolt_ws.websocket import WebSocket


def make_websocket(
    query: str = "", headers: dict[str, str] | Sequence[tuple[str, str]] = (), **path: Any
) -> WebSocket:
    items = headers.items() if isinstance(headers, dict) else headers
    scope = {
        "type": "websocket",
        "path": "/",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in items],
        "url_route": {"kwargs": path},
    }
    return WebSocket(scope, None, None)  # type: ignore[arg-type]


async def bind(
    function: Callable[..., Any], websocket: WebSocket, taken: Collection[str] = ()
) -> dict[str, Any]:
    binder = compile_binder(function, list(websocket.path_params), taken)
    positional, named = await binder.bind(websocket, Dependencies({}))
    assert not positional
    assert named.pop(binder.connection) is websocket
    return named


async def refuse(function: Callable[..., Any], websocket: WebSocket) -> list[str]:
    with pytest.raises(Refusal) as refused:
        await bind(function, websocket)
    assert (refused.value.status, refused.value.code) == (422, "invalid_parameters")
    return refused.value.detail.split("; ")


def reject(function: Callable[..., Any], path_names: Collection[str] = (), **options: Any) -> str:
    with pytest.raises(DeclarationError) as rejected:
        compile_binder(function, path_names, **options)
    return str(rejected.value)


def takes(annotation: Any, default: Any = None) -> Callable[..., Any]:
    """Return a handler with one parameter `n`."""

    def handler(websocket: WebSocket, n: Any) -> None: ...

    handler.__annotations__ = {"websocket": WebSocket, "n": annotation}
    if default is not None:
        handler.__defaults__ = (default,)
    return handler


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


# Values


@pytest.mark.parametrize(
    ("annotation", "query", "value"),
    [
        (str, "n=a%20b", "a b"),
        (str, "n=", ""),
        (int, "n=-5", -5),
        (int, "n=1&n=2", 2),
        (float, "n=1.5", 1.5),
        (bool, "n=true", True),
        (bool, "n=0", False),
        (int | None, "n=5", 5),
        (str | None, "n=null", "null"),
        (Decimal, "n=1.10", Decimal("1.10")),
        (date, "n=2024-02-29", date(2024, 2, 29)),
        (uuid.UUID, "n=" + "1" * 32, uuid.UUID("1" * 32)),
        (Color, "n=blue", Color.BLUE),
        (Literal["a", "b"], "n=b", "b"),
        (Literal[1, 2], "n=2", 2),
        (list[int], "n=1&n=2", [1, 2]),
        (list[str], "n=1", ["1"]),
        (set[int], "n=1&n=1", {1}),
        (tuple[int, str], "n=1&n=a", (1, "a")),
        (list[int] | None, "n=1", [1]),
        (Any, "n=1", "1"),
        (Annotated[int, Query()], "n=1", 1),
        (Annotated[int, "a note"], "n=1", 1),
        (Annotated[int, Query(alias="from")], "from=1&n=2", 1),
        (Annotated[int, Query(ge=1, lt=3)], "n=1", 1),
        (Annotated[int | None, Query(ge=1)], "n=1", 1),
        (Annotated[int | None, Query(ge=1)], "n=null", None),
        (Annotated[list[int], Query(max_length=2)], "n=1&n=2", [1, 2]),
        (Annotated[list[int] | None, Query(min_length=1)], "n=1", [1]),
        (Annotated[str, Query(pattern="^a+$")], "n=aa", "aa"),
        (Annotated[str, msgspec.Meta(min_length=2)], "n=aa", "aa"),
        (Annotated[int, msgspec.Meta(ge=1), Query(le=3)], "n=3", 3),
    ],
)
async def test_a_query_parameter_is_converted(annotation: Any, query: str, value: Any) -> None:
    read = (await bind(takes(annotation), make_websocket(query)))["n"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("annotation", "query", "error"),
    [
        (int, "n=abc", "Invalid value 'abc' for parameter 'n': expected int"),
        (int, "n=", "Invalid value '' for parameter 'n': expected int"),
        (int, "", "Missing parameter 'n'"),
        (int | None, "", "Missing parameter 'n'"),
        (list[int], "", "Missing parameter 'n'"),
        (list[int], "n=1&n=a", "Invalid value ['1', 'a'] for parameter 'n': expected list[int]"),
        (int | None, "n=a", "Invalid value 'a' for parameter 'n': expected int"),
        (float, "n=inf", "Invalid value 'inf' for parameter 'n': expected float"),
        (float, "n=-Infinity", "Invalid value '-Infinity' for parameter 'n': expected float"),
        (float, "n=nan", "Invalid value 'nan' for parameter 'n': expected float"),
        (float, "n=1e999", "Invalid value '1e999' for parameter 'n': expected float"),
        (float | None, "n=nan", "Invalid value 'nan' for parameter 'n': expected float"),
        (list[float], "n=nan", "Invalid value ['nan'] for parameter 'n': expected list[float]"),
        (Decimal, "n=NaN", "Invalid value 'NaN' for parameter 'n': expected Decimal"),
        (Decimal, "n=sNaN", "Invalid value 'sNaN' for parameter 'n': expected Decimal"),
        (Color, "n=green", "Invalid value 'green' for parameter 'n': expected 'red' or 'blue'"),
        (Literal["a", "b"], "n=c", "Invalid value 'c' for parameter 'n': expected 'a' or 'b'"),
        (
            Annotated[int, Query(ge=1)],
            "n=0",
            "Invalid value '0' for parameter 'n': expected int >= 1",
        ),
        (
            Annotated[int | None, Query(gt=1, le=9)],
            "n=1",
            "Invalid value '1' for parameter 'n': expected int > 1 and <= 9",
        ),
        (
            Annotated[float, Query(lt=0.5, alias="f")],
            "f=0.5",
            "Invalid value '0.5' for parameter 'f': expected float < 0.5",
        ),
        (
            Annotated[str, Query(min_length=2)],
            "n=a",
            "Invalid value 'a' for parameter 'n': expected str of at least 2 characters",
        ),
        (
            Annotated[str, Query(max_length=1)],
            "n=aa",
            "Invalid value 'aa' for parameter 'n': expected str of at most 1 characters",
        ),
        (
            Annotated[str, Query(min_length=1, max_length=2, pattern="^a")],
            "n=b",
            "Invalid value 'b' for parameter 'n': expected str of 1 to 2 characters matching '^a'",
        ),
        (
            Annotated[list[int], Query(max_length=1)],
            "n=1&n=2",
            "Invalid value ['1', '2'] for parameter 'n': expected list[int] of at most 1 items",
        ),
        (
            Annotated[int, msgspec.Meta(multiple_of=2), Query(ge=2)],
            "n=3",
            "Invalid value '3' for parameter 'n': expected int >= 2 and multiple of 2",
        ),
    ],
)
async def test_what_is_wrong_refuses(annotation: Any, query: str, error: str) -> None:
    assert await refuse(takes(annotation), make_websocket(query)) == [error]


async def test_a_long_value_is_not_repeated_in_full() -> None:
    (error,) = await refuse(takes(int), make_websocket("n=" + "a" * 5000))
    assert len(error) < 200


@pytest.mark.parametrize("default", [7, "text", [1]])
async def test_a_missing_parameter_has_its_default(default: Any) -> None:
    assert (await bind(takes(int, default), make_websocket()))["n"] is default


@given(st.text() | st.floats().map(str) | st.integers().map(str))
async def test_whatever_the_client_says_is_converted_or_refused(text: str) -> None:
    websocket = make_websocket("n=" + quote(text))
    for kind in (int, float, Decimal, bool, date, uuid.UUID, Color, list[float], int | str):
        with contextlib.suppress(Refusal):
            value = (await bind(takes(kind), websocket))["n"]
            assert isinstance(value, list if kind == list[float] else kind)
            assert not isinstance(value, (float, Decimal)) or math.isfinite(value)


# The path


@pytest.mark.parametrize(
    ("annotation", "from_path", "value"),
    [
        (str, "x", "x"),
        (str, 5, "5"),
        (str | None, 5, "5"),
        (int, "5", 5),
        (int, 5, 5),
        (float, 5, 5.0),
        (Any, 5, 5),
        (uuid.UUID, uuid.UUID(int=1), uuid.UUID(int=1)),
        (Annotated[int, Path(ge=5)], 5, 5),
        (Color, "red", Color.RED),
    ],
)
async def test_a_path_parameter_is_converted(annotation: Any, from_path: Any, value: Any) -> None:
    read = (await bind(takes(annotation), make_websocket("n=9", n=from_path)))["n"]
    assert read == value
    assert type(read) is type(value)


async def test_a_path_parameter_keeps_its_constraints() -> None:
    assert await refuse(takes(Annotated[int, Path(ge=5)]), make_websocket(n=4)) == [
        "Invalid value '4' for parameter 'n': expected int >= 5"
    ]


async def test_a_path_parameter_has_an_alias() -> None:
    def handler(websocket: WebSocket, room: Annotated[int, Path(alias="room_id")]) -> None: ...

    assert await bind(handler, make_websocket(room_id="5")) == {"room": 5}


async def test_without_an_annotation_the_paths_own_value_and_the_querys_text() -> None:
    def handler(websocket, room, n): ...  # type: ignore[no-untyped-def]

    assert await bind(handler, make_websocket("n=5", room=5)) == {"room": 5, "n": "5"}


async def test_a_marker_tells_the_query_from_the_path() -> None:
    def handler(websocket: WebSocket, n: Annotated[int, Query()]) -> None: ...

    assert await bind(handler, make_websocket("n=2", n="1")) == {"n": 2}


# Headers and cookies


async def test_headers_and_cookies() -> None:
    def handler(
        websocket: WebSocket,
        user_agent: Annotated[str, Header()],
        limit: Annotated[int, Header(alias="X-Limit", le=9)],
        x_tag: Annotated[list[str], Header()],
        theme: Annotated[Color, Cookie()],
        accept_language: Annotated[str, Header()] = "en",
        size: Annotated[int, Cookie(alias="page-size")] = 10,
    ) -> None: ...

    headers = [
        ("user-agent", "é"),
        ("x-limit", "4"),
        ("x-limit", "5"),
        ("X-Tag", "a"),
        ("x-tag", "b"),
        ("cookie", "theme=red; page-size=20"),
    ]
    assert await bind(handler, make_websocket("user_agent=no", headers=headers)) == {
        "user_agent": "é",
        "limit": 5,
        "x_tag": ["a", "b"],
        "theme": Color.RED,
        "accept_language": "en",
        "size": 20,
    }


async def test_an_error_in_a_header_or_cookie_names_it_without_its_value() -> None:
    def handler(
        websocket: WebSocket,
        x_limit: Annotated[int, Header()],
        session: Annotated[int, Cookie()],
        x_other: Annotated[int, Header()],
    ) -> None: ...

    websocket = make_websocket(headers={"x-limit": "secret", "cookie": "session=secret"})
    assert await refuse(handler, websocket) == [
        "Invalid value for parameter 'x-limit': expected int",
        "Invalid value for parameter 'session': expected int",
        "Missing parameter 'x-other'",
    ]


# Groups


class Page(msgspec.Struct, rename={"size": "page-size"}):
    number: int
    size: Annotated[int, msgspec.Meta(le=100)] = 10
    tags: list[str] = []


@dataclasses.dataclass
class Filter:
    since: date
    sender: Annotated[str, Query(alias="from", max_length=3)] = "any"
    tags: list[str] = dataclasses.field(default_factory=list)
    derived: int = dataclasses.field(default=0, init=False)


class Search(pydantic.BaseModel):
    number: int = pydantic.Field(ge=1)
    size: float = pydantic.Field(10, alias="page-size")
    tags: list[str] = []
    one_of: int | None = pydantic.Field(None, validation_alias=pydantic.AliasChoices("a", "b"))

    @pydantic.field_validator("tags")
    @classmethod
    def check_tags(cls, tags: list[str]) -> list[str]:
        if "bad" in tags:
            raise ValueError("no bad tags")
        return tags


@pytest.mark.parametrize(
    ("kind", "query", "made"),
    [
        (Page, "number=1", Page(1)),
        (Page, "number=1&size=2&page-size=3&tags=a&tags=b", Page(1, 3, ["a", "b"])),
        (Filter, "since=2024-01-02&from=me", Filter(date(2024, 1, 2), "me")),
        (Filter, "since=2024-01-02&tags=a", Filter(date(2024, 1, 2), tags=["a"])),
        (Search, "number=1", Search(number=1)),
        (
            Search,
            "number=0&number=1&page-size=3&tags=a&b=5",
            Search.model_validate({"number": 1, "page-size": 3, "tags": ["a"], "b": 5}),
        ),
        (Annotated[Page, Query()], "number=1", Page(1)),
        (Page | None, "number=1", Page(1)),
    ],
)
async def test_the_fields_of_a_group_are_parameters(kind: Any, query: str, made: Any) -> None:
    assert await bind(takes(kind), make_websocket(query)) == {"n": made}


@pytest.mark.parametrize(
    ("kind", "query", "errors"),
    [
        (
            Page,
            "page-size=101",
            [
                "Missing parameter 'number'",
                "Invalid value '101' for parameter 'page-size': expected int <= 100",
            ],
        ),
        (
            Filter,
            "since=x&from=long",
            [
                "Invalid value 'x' for parameter 'since': expected date",
                "Invalid value 'long' for parameter 'from': expected str of at most 3 characters",
            ],
        ),
        (Page | None, "", ["Missing parameter 'number'"]),
        (
            Search,
            "page-size=a&tags=bad",
            [
                "Missing parameter 'number'",
                "Invalid value 'a' for parameter 'page-size': expected a valid number, "
                "unable to parse string as a number",
                "Invalid value ['bad'] for parameter 'tags': Value error, no bad tags",
            ],
        ),
        (
            Search,
            "number=0",
            ["Invalid value '0' for parameter 'number': expected greater than or equal to 1"],
        ),
        (
            Search,
            "number=1&page-size=nan",
            ["Invalid value 'nan' for parameter 'page-size': expected a finite number"],
        ),
    ],
)
async def test_all_that_is_wrong_in_a_group_is_told(
    kind: Any, query: str, errors: list[str]
) -> None:
    assert await refuse(takes(kind), make_websocket(query)) == errors


async def test_a_group_has_a_default_where_none_of_its_fields_is_there() -> None:
    default = Page(7)
    for kind in (Page, Page | None):
        assert (await bind(takes(kind, default), make_websocket("x=1")))["n"] is default
        assert await bind(takes(kind, default), make_websocket("number=1")) == {"n": Page(1)}
        assert await refuse(takes(kind, default), make_websocket("page-size=1")) == [
            "Missing parameter 'number'"
        ]


async def test_groups_of_headers_and_cookies() -> None:
    class Client(msgspec.Struct):
        user_agent: str
        x_limit: int = 5

    class Preferences(pydantic.BaseModel):
        theme: Literal["dark", "light"]

    def handler(
        websocket: WebSocket,
        client: Annotated[Client, Header()],
        preferences: Annotated[Preferences, Cookie()],
    ) -> None: ...

    handler.__annotations__["client"] = Annotated[Client, Header()]
    handler.__annotations__["preferences"] = Annotated[Preferences, Cookie()]
    websocket = make_websocket(headers={"user-agent": "x", "cookie": "theme=dark"})
    assert await bind(handler, websocket) == {
        "client": Client("x"),
        "preferences": Preferences(theme="dark"),
    }
    websocket = make_websocket(headers={"x-limit": "x", "cookie": "theme=blue"})
    assert await refuse(handler, websocket) == [
        "Missing parameter 'user-agent'",
        "Invalid value for parameter 'x-limit': expected int",
        "Invalid value for parameter 'theme': expected 'dark' or 'light'",
    ]


async def test_a_groups_own_check_is_told() -> None:
    @dataclasses.dataclass
    class Range:
        first: int
        last: int

        def __post_init__(self) -> None:
            if self.first > self.last:
                raise ValueError("first is after last")

    assert await refuse(takes(Range), make_websocket("first=2&last=1")) == [
        "Invalid value for parameter 'n': first is after last"
    ]


async def test_a_models_own_check_is_told() -> None:
    class Range(pydantic.BaseModel):
        first: int
        last: int

        @pydantic.model_validator(mode="after")
        def check(self) -> Any:
            if self.first > self.last:
                raise ValueError("first is after last")
            return self

    assert await refuse(takes(Range), make_websocket("first=2&last=1")) == [
        "Invalid value for parameter 'n': Value error, first is after last"
    ]


async def test_a_generic_struct() -> None:
    item = TypeVar("item")

    class Box(msgspec.Struct, Generic[item]):
        content: item

    Box.__annotations__["content"] = item
    assert await bind(takes(Box[int]), make_websocket("content=5")) == {"n": Box(5)}


# All errors at once


async def test_all_errors_of_a_connect_are_told_together_and_once() -> None:
    def dependency(n: int, limit: Annotated[int, Query(alias="max")]) -> None:
        pytest.fail("ran")

    def handler(
        websocket: WebSocket,
        room: int,
        n: int,
        page: Page,
        x_id: Annotated[int, Header()],
        c: Annotated[int, Cookie()],
        made: Annotated[None, Depends(dependency)],
    ) -> None: ...

    handler.__annotations__["made"] = Annotated[None, Depends(dependency)]
    assert await refuse(handler, make_websocket("n=x&max=y", room="z")) == [
        "Invalid value 'z' for parameter 'room': expected int",
        "Invalid value 'x' for parameter 'n': expected int",
        "Missing parameter 'number'",
        "Missing parameter 'x-id'",
        "Missing parameter 'c'",
        "Invalid value 'y' for parameter 'max': expected int",
    ]


async def test_several_functions_are_bound_together() -> None:
    ran = []

    async def dependency() -> str:
        ran.append(1)
        return "made"

    def handler(websocket: WebSocket, n: int, made: str = Depends(dependency)) -> None: ...

    def on_close(websocket, n: int, code, limit: int, made: str = Depends(dependency)): ...  # type: ignore[no-untyped-def]

    binders = [compile_binder(handler, []), compile_binder(on_close, [], given=["code"])]
    with pytest.raises(Refusal) as refused:
        await bind_all(binders, make_websocket("n=x"), Dependencies({}))
    assert refused.value.detail == (
        "Invalid value 'x' for parameter 'n': expected int; Missing parameter 'limit'"
    )
    assert not ran
    websocket = make_websocket("n=1&limit=2")
    assert await bind_all(binders, websocket, Dependencies({})) == [
        ([], {"websocket": websocket, "n": 1, "made": "made"}),
        ([], {"websocket": websocket, "n": 1, "limit": 2, "made": "made"}),
    ]
    assert ran == [1]


# The connection and what is given


async def test_the_connection_is_found_by_its_annotation_or_its_place() -> None:
    def first(anything, n: int): ...  # type: ignore[no-untyped-def]

    def later(n: int, connection: WebSocket) -> None: ...

    def noted(n: int, connection: Annotated[WebSocket, "a note"]) -> None: ...

    assert compile_binder(first, []).connection == "anything"
    assert compile_binder(later, []).connection == "connection"
    assert compile_binder(noted, []).connection == "connection"


class Twin:
    __bolt_connection__ = True


async def test_another_connection_may_stand_in() -> None:
    def handler(n: int, ws: Twin, /, m: int) -> None: ...

    binder = compile_binder(handler, [])
    websocket, twin = make_websocket("n=1&m=2"), Twin()
    bound = await binder.bind(websocket, Dependencies({}), connection=twin)
    assert bound == ([1, twin], {"m": 2})
    assert await binder.bind(websocket, Dependencies({})) == ([1, websocket], {"m": 2})


async def test_what_is_given_is_left_out() -> None:
    def on_close(websocket, code: object, reason, n: int = 1): ...  # type: ignore[no-untyped-def]

    binder = compile_binder(on_close, [], given=("code", "reason"))
    websocket = make_websocket()
    bound = await binder.bind(websocket, Dependencies({}))
    assert bound == ([], {"websocket": websocket, "n": 1})


def test_a_given_name_is_not_the_connection() -> None:
    def on_close(code, websocket): ...  # type: ignore[no-untyped-def]

    assert "no parameter for the connection" in reject(on_close, given=["code"])


async def test_what_a_partial_has_bound_no_client_overrides() -> None:
    def handler(websocket: WebSocket, role: str, n: int) -> str:
        return f"{role} {n}"

    bound = functools.partial(handler, role="admin")
    named = await bind(bound, make_websocket("role=root&n=1"))
    assert bound(make_websocket(), **named) == "admin 1"


# Taken by authentication


async def test_a_token_that_was_taken_has_its_default() -> None:
    def handler(websocket: WebSocket, token: str = "gone", n: int = 0) -> None: ...

    websocket = make_websocket("token=secret&n=1")
    assert websocket.take_query_param("token") == ["secret"]
    assert await bind(handler, websocket, taken={"token"}) == {"token": "gone", "n": 1}


async def test_a_token_taken_by_surprise_is_missing() -> None:
    websocket = make_websocket("n=secret")
    websocket.take_query_param("n")
    assert await refuse(takes(str), websocket) == ["Missing parameter 'n'"]


async def test_only_the_querys_token_is_taken() -> None:
    def handler(websocket: WebSocket, n: str, token: Annotated[str, Header(alias="x")]) -> None: ...

    websocket = make_websocket("n=secret&x=1", headers={"x": "header"}, n="path")
    websocket.take_query_param("n")
    assert await bind(handler, websocket, taken={"n", "token", "x"}) == {
        "n": "path",
        "token": "header",
    }


# What is wrong at declaration


class TypedFoo(TypedDict):
    n: int


@pytest.mark.parametrize(
    ("annotation", "error"),
    [
        (dict[str, int], "parameter 'n': dict[str, int] cannot be read from a URL"),
        (object, "parameter 'n': object cannot be read from a URL"),
        (bytes, "parameter 'n': bytes cannot be read from a URL"),
        (Annotated[HttpRequest | None, Header()], "cannot be read from a header"),
        (Annotated[object, Cookie()], "parameter 'n': object cannot be read from a cookie"),
        (Annotated[list[int], Cookie()], "list[int] cannot be read from a cookie, which holds one"),
        (Annotated[int, Path()], "the path has no {n}, which Path() reads"),
        (Annotated[int, Path(alias="id")], "the path has no {id}, which Path(alias='id') reads"),
        (Annotated[int, Query], "Query is no marker; write Query()"),
        (Annotated[int, Depends], "Depends is no marker; write Depends()"),
        (Annotated[int, Query(), Header()], "Query() and Header() are one marker too many"),
        (Annotated[int, Query(min_length=1)], "Can only set `min_length` on"),
        (Annotated[str, Query(ge=1)], "Can only set `ge` on"),
        (Annotated[Decimal, Query(ge=1)], "Can only set `ge` on"),
        (Annotated[int, Query(ge=1)] | None, "Query(ge=1) stands inside of a type"),
        (list[Annotated[int, Query(ge=1)]], "Query(ge=1) stands inside of a type"),
        (Annotated[int, pydantic.Field(ge=1)], "is not checked here"),
        (Annotated[Page, Query(ge=1)], "Can only set `ge` on"),
        (Annotated[Page, Query(alias="x")], "Page is a group of parameters"),
        (Annotated[TypedFoo, Query()], "TypedFoo cannot be read from a URL"),
    ],
)
def test_what_could_never_be_filled_is_an_error_at_declaration(annotation: Any, error: str) -> None:
    message = reject(takes(annotation))
    assert error in message
    assert message.startswith("parameter 'n': ")


class Inner(msgspec.Struct):
    n: int


class Outer(msgspec.Struct):
    inner: Inner


@dataclasses.dataclass
class WithInitVar:
    n: dataclasses.InitVar[int]


@dataclasses.dataclass
class WithHeader:
    n: Annotated[int, Header()]


class OuterModel(pydantic.BaseModel):
    inner: Search


class Rooted(pydantic.RootModel[list[int]]):
    pass


class Taken(msgspec.Struct):
    token: str


@pytest.mark.parametrize(
    ("annotation", "error"),
    [
        (Outer, "Outer.inner: Inner cannot be read from a URL"),
        (WithInitVar, "WithInitVar.n is an InitVar, not a field"),
        (WithHeader, "WithHeader.n: Header() cannot stand in a group that is Query()"),
        (OuterModel, "OuterModel.inner: Search cannot be read from a text"),
        (Rooted, "Rooted.root: list[int] cannot be read from a text"),
        (Taken, "can never be filled: authentication takes ?token= away"),
    ],
)
def test_a_group_that_could_never_be_filled(annotation: Any, error: str) -> None:
    assert f"parameter 'n': {error}" in reject(takes(annotation), taken={"token"})


def test_what_authentication_takes_needs_a_default() -> None:
    def aliased(websocket: WebSocket, n: Annotated[str, Query(alias="token")]) -> None: ...

    for function in (takes(Annotated[str, Query(alias="token")]), aliased):
        assert reject(function, taken={"token"}) == (
            "parameter 'n': can never be filled: authentication takes ?token= away; "
            "give it a default, or remove it"
        )


def test_a_list_in_the_path_is_an_error() -> None:
    for annotation in (list[int], Annotated[list[int], Path()], Page):
        assert "cannot be read from a" in reject(takes(annotation), ["n"])


def test_a_marker_is_no_default() -> None:
    assert reject(takes(int, Query(ge=1))) == (
        "parameter 'n': Query(ge=1) is no default: write Annotated[<type>, Query(ge=1)]"
    )


def test_variable_parameters_are_an_error() -> None:
    def positional(websocket: WebSocket, *args: int) -> None: ...

    def named(websocket: WebSocket, **kwargs: int) -> None: ...

    for function in (positional, named):
        assert "name each parameter" in reject(function)


def test_an_annotation_that_is_not_there_at_runtime_is_an_error() -> None:
    def handler(websocket: WebSocket, n: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    assert "an annotation names 'Nowhere'" in reject(handler)


def test_two_connections_or_none_are_an_error() -> None:
    def two(a: WebSocket, b: WebSocket) -> None: ...

    def none(n: int) -> None: ...

    assert reject(two) == "a and b both ask for the connection"
    assert "no parameter for the connection" in reject(none)
    assert "no parameter for the connection" in reject(lambda: None)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"ge": 1, "gt": 1}, "Query(): Cannot specify both"),
        ({"ge": "a"}, "Query(): `ge` must be"),
        ({"pattern": "["}, "Query(): unterminated character set"),
        ({"min_length": -1}, "Query(): `min_length` must be >= 0"),
    ],
)
def test_constraints_that_make_no_sense(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(DeclarationError) as rejected:
        Query(**arguments)
    assert str(rejected.value).startswith(error)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type` statements are Python 3.12's")
async def test_a_type_alias() -> None:
    names: dict[str, Any] = {"Annotated": Annotated, "Query": Query}
    exec("type Positive = Annotated[int, Query(ge=1)]", names)
    assert await refuse(takes(names["Positive"]), make_websocket("n=0")) == [
        "Invalid value '0' for parameter 'n': expected int >= 1"
    ]


def test_nothing_is_inspected_when_a_client_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    import inspect
    import typing

    binder = compile_binder(takes(Annotated[int | None, Query(ge=1)]), [])
    for module, name in ((inspect, "signature"), (typing, "get_type_hints")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("inspected"))
    bound = binder.bind(make_websocket("n=1"), Dependencies({}))
    with pytest.raises(StopIteration):
        bound.send(None)


def test_pydantic_stays_optional() -> None:
    import subprocess

    code = (
        "import sys; sys.modules['pydantic'] = None\n"
        "from django.conf import settings; settings.configure()\n"
        "from bolt_ws.parameters import compile_binder\n"
        "import dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Page:\n    n: int\n"
        "def handler(websocket, page: Page): ...\n"
        "compile_binder(handler, [])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
