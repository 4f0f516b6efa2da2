"""The signature of a handler, a callback or a dependency, with its annotations resolved."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Collection
from typing import Annotated, Any

from django.http import HttpRequest

from .exceptions import DeclarationError
from .handshake import Handshake

_CONNECTION_NAMES = ("websocket", "ws")


class Signature:
    """The parameters of a callable that have to be filled, by name.

    `given` are names that the caller fills itself. Raises `DeclarationError` for a signature that
    cannot be filled.
    """

    def __init__(self, function: Callable[..., Any], given: Collection[str] = ()) -> None:
        try:
            declared = inspect.signature(function).parameters
        except ValueError:
            raise DeclarationError(f"{function!r} has no signature to read") from None
        filled = {*given, *_bound(function)}
        self.parameters = [each for each in declared.values() if each.name not in filled]
        for each in self.parameters:
            if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
                raise DeclarationError(
                    f"parameter '{each}' of a handler cannot be filled: name each parameter"
                )
        self._starts_with_given = next(iter(declared), None) in filled
        self.annotations = _resolve_annotations(function, declared)
        self.positional = [
            each.name for each in self.parameters if each.kind is each.POSITIONAL_ONLY
        ]

    def find_connection(self, *, is_needed: bool = True) -> str | None:
        """Return the handler's parameter for the connection.

        It is the one annotated so, else the first, if it has no annotation; None if it may do
        without. Raises `DeclarationError` if there is none, or two.
        """
        name = self._find_annotated_connection()
        if name is None and self.parameters and not self._starts_with_given:
            first = self.parameters[0].name
            # Any says as much as no annotation.
            name = first if self.annotations.get(first, Any) is Any else None
        if name is None and is_needed:
            raise DeclarationError(
                "the handler has no parameter for the connection: annotate one with WebSocket"
            )
        return name

    def find_dependency_connection(self) -> str | None:
        """Return a dependency's parameter for the connection, None if it does not ask for it.

        It is the one annotated so, else one without annotation named `websocket` or `ws`. Raises
        `DeclarationError` for one that asks for the blocking connection: what a dependency gives is
        shared by functions of both kinds.
        """
        annotated = self._find_annotated_connection()
        if annotated is not None:
            if not issubclass(_strip(self.annotations[annotated]), Handshake):
                raise DeclarationError(
                    f"parameter '{annotated}': a dependency gets the WebSocket; annotate it so"
                )
            return annotated
        names = [each.name for each in self.parameters if each.name not in self.annotations]
        return next((name for name in names if name in _CONNECTION_NAMES), None)

    def asks_for_blocking(self, name: str) -> bool:
        """Return whether the connection's parameter asks for the blocking one."""
        return getattr(_strip(self.annotations.get(name)), "__bolt_connection__", False) is True

    def asks_for_request(self, name: str) -> bool:
        """Return whether a parameter asks for Django's request."""
        if name not in self.annotations:
            return name == "request"
        kind = _strip(self.annotations[name])
        return isinstance(kind, type) and issubclass(kind, HttpRequest)

    def _find_annotated_connection(self) -> str | None:
        names = [
            each.name
            for each in self.parameters
            if _is_connection(_strip(self.annotations.get(each.name)))
        ]
        if len(names) > 1:
            raise DeclarationError(f"{' and '.join(names)} both ask for the connection")
        return names[0] if names else None


def _is_connection(kind: Any) -> bool:
    # The blocking connection is no handshake; it says so itself, because nothing here knows it.
    return isinstance(kind, type) and (
        issubclass(kind, Handshake) or getattr(kind, "__bolt_connection__", False)
    )


def _strip(annotation: Any) -> Any:
    is_annotated = typing.get_origin(annotation) is Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _bound(function: Callable[..., Any]) -> set[str]:
    """Return what `functools.partial` has filled: no client can fill it otherwise."""
    names: set[str] = set()
    while isinstance(function, functools.partial):
        names.update(function.keywords)
        function = function.func
    return names


def _resolve_annotations(function: Callable[..., Any], declared: Collection[str]) -> dict[str, Any]:
    target = inspect.unwrap(function)
    while isinstance(target, functools.partial):
        target = inspect.unwrap(target.func)
    try:
        if isinstance(target, type):
            return _annotations_of_class(target, declared)
        if not inspect.isroutine(target):
            target = type(target).__call__
        hints = typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"an annotation names {error.name!r}, which {target.__module__} does not define at "
            "runtime: import it there, outside of `if TYPE_CHECKING`"
        ) from None
    hints.pop("return", None)
    return hints


def _annotations_of_class(kind: type, declared: Collection[str]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind.__init__, include_extras=True)  # type: ignore[misc]
    hints.pop("return", None)
    if not hints.keys() >= set(declared):  # its fields are its parameters
        hints = {**typing.get_type_hints(kind, include_extras=True), **hints}
    return hints
