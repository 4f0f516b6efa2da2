"""Paths to consumers; 404 for the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.urls import NoReverseMatch, URLPattern
from django.urls import path as url_path
from django.urls.converters import get_converters, register_converter
from django.urls.resolvers import RoutePattern

from .closing import Closing
from .conf import get_settings
from .consumer import BoltConsumer
from .endings import Ending
from .exceptions import DeclarationError, Refusal
from .handshake import Scope
from .observing import Observation
from .servers import Receive, Send
from .websocket import WebSocket

Application = Callable[[Scope, Receive, Send], Awaitable[Any]]


class FloatConverter:
    """`{name:float}`: digits, with or without a fraction."""

    regex = r"[0-9]+(?:\.[0-9]+)?"

    def to_python(self, value: str) -> float:
        """Return the number. Raises `ValueError`, which is no match, for one out of range."""
        number = float(value)
        if math.isinf(number):
            raise ValueError(f"{value} is out of range")
        return number

    def to_url(self, value: float) -> str:
        """Return the number as it stands in a path."""
        return format(Decimal(repr(float(value))), "f")  # all its digits, and no exponent


# Under a name of its own: a project may have registered a "float" already, or will.
_FLOAT = "bolt_ws_float"
if _FLOAT not in get_converters():
    register_converter(FloatConverter, _FLOAT)

_DJANGO_PARAMETER = re.compile(r"<\w+:(?P<name>\w+)>")
_PARAMETER = re.compile(
    r"\{(?P<name>[^{}:<>]*)(?::(?P<converter>[^{}<>]*))?\}"
    r"|<(?:(?P<django_converter>[^<>:{}]*):)?(?P<django_name>[^<>{}]*)>"
)


class Pattern:
    """A path as it was declared: `/ws/room/{room_id:int}` or `/ws/room/<int:room_id>`.

    `route` is the same in Django's syntax, `shape` is equal for two paths that match the same.
    Raises `DeclarationError`.
    """

    __slots__ = ("_django", "names", "path", "route", "shape")

    def __init__(self, path: str) -> None:
        if not isinstance(path, str):
            raise DeclarationError(f"a path is text such as '/ws/room/{{room_id}}', not {path!r}")
        self.path = "/" + path.lstrip("/")  # as Channels' router has it: slashes in front are one
        self.names: list[str] = []
        self.route = _PARAMETER.sub(self._translate, self.path[1:])
        rest = _PARAMETER.sub("", self.path)
        if any(bracket in rest for bracket in "{}<>"):
            raise DeclarationError(f"path {path!r}: a bracket is not closed, or not opened")
        self.shape = re.sub(r":\w+>", ">", self.route)
        self._django = RoutePattern(self.route, is_endpoint=True)

    def _translate(self, found: re.Match[str]) -> str:
        name = found["name"] if found["django_name"] is None else found["django_name"]
        converter = found["converter"] or found["django_converter"] or "str"
        if not name.isidentifier():
            raise DeclarationError(f"path {self.path!r}: {name!r} is no name for a parameter")
        if name in self.names:
            raise DeclarationError(f"path {self.path!r} has two parameters {name!r}")
        known = get_converters()
        if converter == "float" and converter not in known:
            converter = _FLOAT
        elif converter not in known:
            raise DeclarationError(
                f"path {self.path!r}: unknown converter {converter!r} of parameter {name!r}; "
                f"known are {', '.join(sorted({*known, 'float'} - {_FLOAT}))}"
            )
        self.names.append(name)
        return f"<{converter}:{name}>"

    def under(self, prefix: str) -> Pattern:
        """Return this path behind `prefix`."""
        prefix = prefix.rstrip("/")
        return Pattern(prefix + self.path) if prefix else self

    def reverse(self, params: Mapping[str, Any]) -> str:
        """Return the path with its parameters filled in. Raises `NoReverseMatch`."""
        if set(params) != set(self.names):
            raise NoReverseMatch(
                f"path {self.path!r} takes the parameters {sorted(self.names)}, "
                f"not {sorted(params)}"
            )
        converters = self._django.converters
        texts = {name: str(converters[name].to_url(value)) for name, value in params.items()}
        path = _DJANGO_PARAMETER.sub(lambda found: texts[found["name"]], self.route)
        if self.match(path) is None:
            raise NoReverseMatch(f"{dict(params)!r} does not fit path {self.path!r}")
        return f"/{path}"

    def match(self, path: str) -> dict[str, Any] | None:
        """Return the parameters of a path without its leading slash, None if it does not match."""
        found = self._django.match(path)
        return None if found is None else found[2]


@dataclass(frozen=True, slots=True)
class Route:
    """A path and the consumer that serves it."""

    pattern: Pattern
    name: str
    is_name_explicit: bool
    consumer: type[BoltConsumer]
    wrap: Callable[[], Application] | None = None
    """Makes the consumer's application with its middleware around it, if it has any."""

    def as_url_pattern(self) -> URLPattern:
        """Return the route for a Channels `URLRouter`."""
        # Django's types know views alone.
        application: Any = self.consumer.as_asgi() if self.wrap is None else self.wrap()
        pattern: URLPattern = url_path(self.pattern.route, application, name=self.name)
        return pattern


def reverse(routes: Iterable[Route], name: str, params: Mapping[str, Any]) -> str:
    """Return the path of the route that goes by `name`. Raises `NoReverseMatch`.

    An explicit name counts; else the name of a function, while it is unique.
    """
    named = [route for route in routes if route.name == name]
    found = [route for route in named if route.is_name_explicit] or named
    if not found:
        raise NoReverseMatch(f"No endpoint goes by the name {name!r}")
    if len(found) > 1:
        paths = ", ".join(repr(route.pattern.path) for route in found)
        raise NoReverseMatch(f"{name!r} is the name of several endpoints: {paths}; name them")
    return found[0].pattern.reverse(params)


def check_unique(routes: Iterable[Route]) -> None:
    """Raise `DeclarationError` if two routes match the same paths or have one explicit name."""
    by_shape: dict[str, Route] = {}
    by_name: dict[str, Route] = {}
    for route in routes:
        other = by_shape.setdefault(route.pattern.shape, route)
        if other is not route:
            raise DeclarationError(
                f"path {route.pattern.path!r} of endpoint {route.name!r} is declared twice: "
                f"endpoint {other.name!r} has {other.pattern.path!r}"
            )
        if route.is_name_explicit and by_name.setdefault(route.name, route) is not route:
            raise DeclarationError(
                f"name {route.name!r} is declared twice: for {by_name[route.name].pattern.path!r} "
                f"and for {route.pattern.path!r}"
            )


class Router:
    """The ASGI application of many routes. A path without a parameter goes before one with."""

    # A Channels URLRouter takes it for a router of its kind: path("prefix/", router) is a prefix.
    _path_routing = True

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        check_unique(self.routes)
        self._wrapped = {id(each): each.wrap() for each in self.routes if each.wrap is not None}
        self._static = {each.pattern.route: each for each in self.routes if not each.pattern.names}
        self._dynamic = [each for each in self.routes if each.pattern.names]
        # Here servers look whether this is ASGI; a call takes the class's.
        self.__call__ = self._serve  # type: ignore[method-assign]

    # A plain function that returns a coroutine: one coroutine fewer around the handler is 0.06 us
    # less a message, of 8.
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve a connection."""
        path = _remaining_path(scope)
        route, params = self._find(path) if path is not None else (None, {})
        if route is None:
            return _refuse_unknown(scope, receive, send)
        outer = scope.get("url_route", {})
        url_route = {
            "args": outer.get("args", ()),
            "kwargs": {**outer.get("kwargs", {}), **params},
        }
        inner = {**scope, "path_remaining": "", "url_route": url_route}
        # Not through as_asgi(), which would be one more.
        application = self._wrapped[id(route)] if route.wrap else route.consumer()
        return application(inner, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self(scope, receive, send)

    def _find(self, path: str) -> tuple[Route | None, dict[str, Any]]:
        if (static := self._static.get(path)) is not None:
            return static, {}
        for route in self._dynamic:
            params = route.pattern.match(path)
            if params is not None:
                return route, params
        return None, {}


def _remaining_path(scope: Scope) -> str | None:
    """Return the path to route as Channels' `URLRouter` sees it, None outside of `root_path`."""
    remaining: str | None = scope.get("path_remaining")
    if remaining is not None:  # a URLRouter has routed a part of it
        return remaining.lstrip("/")
    path: str = scope.get("path", "")
    root_path: str = scope.get("root_path", "")
    if not path.startswith(root_path):
        return None
    return path[len(root_path) :].lstrip("/")


async def _refuse_unknown(scope: Scope, receive: Receive, send: Send) -> None:
    websocket = WebSocket(scope, receive, send)
    websocket.closes_to_refuse = get_settings().refuse == "close"
    refusal = Refusal(404, "not_found", "Not found")
    observation = Observation(websocket, None, None)
    failure: BaseException | None = None
    try:
        if (await receive())["type"] == "websocket.connect":
            websocket.note_connect()
            await Closing(websocket, observation).end(Ending(4404, refusal.detail, refusal))
        else:
            observation.note_refusal(refusal)
    except BaseException as raised:
        failure = raised
        raise
    finally:
        try:
            if not isinstance(failure, GeneratorExit):  # then nothing can be awaited
                await observation.end()
        finally:
            websocket.forget()
        del failure  # its traceback holds this frame
