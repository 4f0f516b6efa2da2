"""One parameter of a handler: where in the handshake it is, and what it says."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

from .annotations import Converter, InvalidValue, shorten
from .exceptions import DeclarationError
from .handshake import Handshake
from .markers import Cookie, Header, Path, Query, Source
from .requests import get_request

MISSING: Any = inspect.Parameter.empty


class Parameter:
    """A value read from a text of the handshake, or from several."""

    __slots__ = ("converter", "default", "name", "wire_name")

    is_secret: ClassVar[bool] = False
    """Whether its values may be credentials, which no error repeats."""

    def __init__(self, name: str, annotation: Any, default: Any, marker: Source) -> None:
        self.name = name
        self.wire_name = marker.wire_name(name)
        self.default = default
        self.converter = Converter(annotation, marker.place)

    def find(self, handshake: Handshake) -> Sequence[Any]:
        """Return the texts that the handshake has under the wire name, in its order."""
        raise NotImplementedError

    def read(self, handshake: Handshake, errors: list[str]) -> Any:
        """Return the argument. What is wrong with it is added to `errors`."""
        found = self.find(handshake)
        if not found:
            if self.default is MISSING:
                errors.append(f"Missing parameter '{self.wire_name}'")
            return self.default
        try:
            return self.converter.from_text(found if self.converter.is_many else found[-1])
        except InvalidValue as error:
            errors.append(self.describe_invalid(error.args[0]))
            return None

    def describe_invalid(self, value: Any) -> str:
        """Return the error that `value` is."""
        return invalid(self, value, f"expected {self.converter.expected}")


class PathParameter(Parameter):
    """A parameter of the path, converted by the path's own converter first."""

    __slots__ = ()

    def read(self, handshake: Handshake, errors: list[str]) -> Any:
        """Return the argument. What is wrong with it is added to `errors`."""
        try:
            return self.converter.from_path(handshake.path_params[self.wire_name])
        except InvalidValue as error:
            errors.append(self.describe_invalid(error.args[0]))
            return None


class QueryParameter(Parameter):
    """A parameter of the query string."""

    __slots__ = ()

    def find(self, handshake: Handshake) -> Sequence[str]:
        """Return the values. A token that a backend took is not among them."""
        # A QueryDict is a dict of lists. Its own getlist() costs 0.9 us for a name it lacks.
        query: Any = handshake.query_params
        values: Sequence[str] = dict.get(query, self.wire_name, ())
        return values


class HeaderParameter(Parameter):
    """A header. A repeated one has a value for each of its lines."""

    __slots__ = ()

    is_secret = True

    def find(self, handshake: Handshake) -> Sequence[str]:
        """Return the lines."""
        return [
            value.decode("latin-1")
            for name, value in handshake.scope.get("headers", ())
            if name.decode("latin-1").lower() == self.wire_name
        ]


class CookieParameter(Parameter):
    """A cookie."""

    __slots__ = ()

    is_secret = True

    def find(self, handshake: Handshake) -> Sequence[str]:
        """Return the cookie, if there is one."""
        value = handshake.cookies.get(self.wire_name)
        return () if value is None else (value,)


class RequestParameter:
    """The handshake itself, as Django's request."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, handshake: Handshake, errors: list[str]) -> Any:
        """Return the request."""
        return get_request(handshake)


_KINDS: dict[type[Source], type[Parameter]] = {
    Path: PathParameter,
    Query: QueryParameter,
    Header: HeaderParameter,
    Cookie: CookieParameter,
}


def make_parameter(name: str, annotation: Any, default: Any, marker: Source) -> Parameter:
    """Return the parameter that a marker asks for.

    Raises `DeclarationError` for one that could never be filled.
    """
    parameter = _KINDS[type(marker)](name, annotation, default, marker)
    if parameter.converter.is_many and isinstance(marker, (Path, Cookie)):
        raise DeclarationError(
            f"{parameter.converter.expected} cannot be read from a {type(marker).__name__.lower()}"
            ", which holds one value"
        )
    return parameter


def invalid(parameter: Parameter, value: Any, expectation: str) -> str:
    """Return the error that `value` is to a parameter that wants something else."""
    shown = "" if parameter.is_secret else f" {shorten(value)}"
    return f"Invalid value{shown} for parameter '{parameter.wire_name}': {expectation}"
