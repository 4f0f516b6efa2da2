"""What an annotation says beside a type: where a value comes from, and its limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import msgspec

from .exceptions import DeclarationError


@dataclass(frozen=True, kw_only=True, repr=False)
class Source:
    """Where a parameter comes from, and what its value must be.

    `alias` is the name on the wire where it is not the parameter's own. `gt`, `ge`, `lt` and `le`
    bound a number; `min_length` and `max_length` a text (in characters) or a list (in items);
    `pattern` is a regular expression that a text must contain a match of (`re.search`). Raises
    `DeclarationError` for constraints that contradict themselves.
    """

    alias: str | None = None
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    place: ClassVar[str] = ""

    def __post_init__(self) -> None:
        try:
            self.constraints()
        except (TypeError, ValueError, re.error) as error:
            raise DeclarationError(f"{type(self).__name__}(): {error}") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self._given().items())})"

    def _given(self) -> dict[str, Any]:
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    def constraints(self) -> msgspec.Meta | None:
        """Return the constraints as msgspec checks them, None if there are none."""
        given = self._given()
        given.pop("alias", None)
        return msgspec.Meta(**given) if given else None

    def wire_name(self, name: str) -> str:
        """Return the name on the wire of the parameter `name`."""
        return self.alias or name


class Path(Source):
    """The parameter comes from the path: `Annotated[int, Path(ge=1)]`."""

    place = "a URL"


class Query(Source):
    """The parameter comes from the query string: `Annotated[str, Query(alias="from")]`."""

    place = "a URL"


class Header(Source):
    """The parameter comes from a header: `Annotated[str, Header()]`.

    `user_agent` is the header `user-agent`; the case of the name does not matter.
    """

    place = "a header"

    def wire_name(self, name: str) -> str:
        """Return the header's name, in lower case as ASGI has it."""
        return (self.alias or name.replace("_", "-")).lower()


class Cookie(Source):
    """The parameter comes from a cookie: `Annotated[str, Cookie()]`."""

    place = "a cookie"


@dataclass(frozen=True, slots=True)
class Dependant:
    """What `Depends()` makes. `dependency` None is the class that it annotates."""

    dependency: Callable[..., Any] | None
    use_cache: bool


def Depends(  # noqa: N802 - the name that it has everywhere else
    dependency: Callable[..., Any] | None = None, *, use_cache: bool = True
) -> Any:
    """Say that a parameter is what `dependency` returns or yields.

    Write `Annotated[User, Depends(get_user)]`, or `user: User = Depends(get_user)`; that is why it
    is a function that returns anything, and no class. Without `dependency` the annotated class is
    called. Each dependency is called once a connection, unless `use_cache` is False. Raises
    `DeclarationError` for what cannot be called.
    """
    if dependency is not None and not callable(dependency):
        raise DeclarationError(f"Depends(): {dependency!r} cannot be called")
    return Dependant(dependency, use_cache)
