"""A handler's signature, compiled once into a binder of its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from .annotations import in_errors, split
from .dependencies import Arguments, Dependencies, Dependency, Need, identify, name_of
from .exceptions import DeclarationError, Refusal
from .groups import Group, find_group, make_group
from .handshake import Handshake
from .markers import Dependant, Path, Query, Source
from .signatures import Signature
from .sources import MISSING, Parameter, QueryParameter, RequestParameter, make_parameter

Bound = tuple[list[Any], Arguments]
"""Positional and named arguments."""


class Readable(Protocol):
    """A parameter that the handshake fills."""

    name: str

    def read(self, handshake: Handshake, errors: list[str]) -> Any:
        """Return the argument. What is wrong with it is added to `errors`."""


class Binder:
    """What fills a function's arguments when a client connects."""

    __slots__ = ("connection", "needs", "parameters", "positional")

    def __init__(
        self,
        connection: str | None,
        parameters: Sequence[Readable],
        needs: Sequence[Need],
        positional: Sequence[str],
    ) -> None:
        self.connection = connection
        self.parameters = tuple(parameters)
        self.needs = tuple(needs)
        self.positional = tuple(positional)

    async def bind(
        self, websocket: Handshake, dependencies: Dependencies, connection: object = None
    ) -> Bound:
        """Return the arguments. `connection` None is `websocket`.

        Raises a `Refusal` that tells all that is wrong at once, and whatever a dependency raises;
        what a dependency began is torn down by `dependencies.close`, also then.
        """
        errors: list[str] = []
        arguments = self.read(websocket, dependencies, errors)
        if errors:
            raise _refusal(errors)
        if connection is not None and self.connection is not None:
            arguments[self.connection] = connection
        if self.needs:
            await self.resolve(arguments, websocket, dependencies)
        return self.arrange(arguments)

    def read(
        self, websocket: Handshake, dependencies: Dependencies, errors: list[str]
    ) -> Arguments:
        """Return the connection and what the handshake fills; dependencies read theirs.

        What is wrong is added to `errors`.
        """
        arguments = {each.name: each.read(websocket, errors) for each in self.parameters}
        if self.connection is not None:
            arguments[self.connection] = websocket
        for need in self.needs:
            dependencies.read(need, websocket, errors)
        return arguments

    async def resolve(
        self, arguments: Arguments, websocket: Handshake, dependencies: Dependencies
    ) -> None:
        """Add what the dependencies give. Raises whatever one raises."""
        for need in self.needs:
            arguments[need.name] = await dependencies.resolve(need, websocket)

    def arrange(self, arguments: Arguments) -> Bound:
        """Return the arguments as the function takes them."""
        return [arguments.pop(name) for name in self.positional], arguments


async def bind_all(
    binders: Sequence[Binder], websocket: Handshake, dependencies: Dependencies
) -> list[Bound]:
    """Return the arguments of several functions, as `Binder.bind` does for one.

    The errors of all are reported together, before any dependency runs.
    """
    errors: list[str] = []
    read = [binder.read(websocket, dependencies, errors) for binder in binders]
    if errors:
        raise _refusal(errors)
    for binder, arguments in zip(binders, read, strict=True):
        await binder.resolve(arguments, websocket, dependencies)
    return [binder.arrange(arguments) for binder, arguments in zip(binders, read, strict=True)]


def _refusal(errors: Sequence[str]) -> Refusal:
    # Each error once: a handler and its dependencies may ask for the same parameter.
    return Refusal(422, "invalid_parameters", "; ".join(dict.fromkeys(errors)))


def compile_binder(
    function: Callable[..., Any],
    path_names: Collection[str],
    taken: Collection[str] = (),
    given: Collection[str] = (),
    *,
    needs_connection: bool = True,
) -> Binder:
    """Compile the signature of `function` for a path with the parameters `path_names`.

    `taken` are the query parameters that authentication takes away, `given` the names of those
    that the caller fills itself. Raises `DeclarationError`, also for a function that does not take
    the connection if that is needed.
    """
    signature = Signature(function, given)
    connection = signature.find_connection(is_needed=needs_connection)
    return _Compiler(path_names, taken).compile(signature, connection)


class _Compiler:
    """Compiles a function and all that it depends on, for one path."""

    def __init__(self, path_names: Collection[str], taken: Collection[str]) -> None:
        self._path_names = frozenset(path_names)
        self._taken = frozenset(taken)
        self._dependencies: dict[object, Dependency] = {}
        self._compiling: dict[object, str] = {}

    def compile(self, signature: Signature, connection: str | None) -> Binder:
        parameters: list[Readable] = []
        needs: list[Need] = []
        for declared in signature.parameters:
            name = declared.name
            if name == connection:
                continue
            if name not in self._path_names and signature.asks_for_request(name):
                parameters.append(RequestParameter(name))
                continue
            with in_errors(f"parameter '{name}'"):
                annotation, marker = split(signature.annotations.get(name, MISSING))
                marker = _choose_marker(declared, marker)
                if isinstance(marker, Dependant):
                    needs.append(self._need(name, annotation, marker))
                else:
                    parameters.append(self._parameter(declared, annotation, marker))
        return Binder(connection, parameters, needs, signature.positional)

    def _parameter(
        self, declared: inspect.Parameter, annotation: Any, marker: Source | None
    ) -> Readable:
        if marker is None:
            marker = Path() if declared.name in self._path_names else Query()
        from_path = isinstance(marker, Path)
        if from_path and marker.wire_name(declared.name) not in self._path_names:
            raise DeclarationError(
                f"the path has no {{{marker.wire_name(declared.name)}}}, which {marker!r} reads"
            )
        if annotation is MISSING:
            annotation = Any if from_path else str  # Any: as the path's converter made it
        parameter: Parameter | Group
        if (group := find_group(annotation)) is not None and not from_path:
            parameter = make_group(declared.name, group, declared.default, marker)
        else:
            parameter = make_parameter(declared.name, annotation, declared.default, marker)
        for each in parameter.fields if isinstance(parameter, Group) else [parameter]:
            self._check_taken(each)
        return parameter

    def _check_taken(self, parameter: Parameter) -> None:
        if (
            isinstance(parameter, QueryParameter)
            and parameter.wire_name in self._taken
            and parameter.default is MISSING
        ):
            raise DeclarationError(
                f"can never be filled: authentication takes ?{parameter.wire_name}= away; "
                "give it a default, or remove it"
            )

    def _need(self, name: str, annotation: Any, marker: Dependant) -> Need:
        function = annotation if marker.dependency is None else marker.dependency
        if not callable(function) or function is MISSING:
            raise DeclarationError("Depends() without a callable needs an annotation to call")
        return Need(name, self._dependency(function), marker.use_cache)

    def _dependency(self, function: Callable[..., Any]) -> Dependency:
        key = identify(function)
        if key in self._compiling:
            circle = " -> ".join([*self._compiling.values(), name_of(function)])
            raise DeclarationError(f"dependencies go round in a circle: {circle}")
        if key not in self._dependencies:
            self._compiling[key] = name_of(function)
            try:
                with in_errors(f"dependency {name_of(function)}"):
                    signature = Signature(function)
                    binder = self.compile(signature, signature.find_dependency_connection())
                self._dependencies[key] = Dependency(function, binder, self._override)
            finally:
                del self._compiling[key]
        return self._dependencies[key]

    def _override(self, function: Callable[..., Any]) -> Dependency:
        if not callable(function):
            raise DeclarationError(f"dependency_overrides: {function!r} cannot be called")
        return self._dependency(function)


def _choose_marker(
    declared: inspect.Parameter, marker: Source | Dependant | None
) -> Source | Dependant | None:
    if isinstance(declared.default, Source):
        raise DeclarationError(
            f"{declared.default!r} is no default: write Annotated[<type>, {declared.default!r}]"
        )
    if isinstance(declared.default, Dependant):
        if marker is not None:
            raise DeclarationError(f"{marker!r} and the default Depends(...) exclude each other")
        return declared.default
    if isinstance(marker, Dependant) and declared.default is not MISSING:
        raise DeclarationError("it has Depends(...), and a default that would never be used")
    return marker
