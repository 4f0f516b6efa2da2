"""A handler's signature, compiled once into a binder of its arguments."""

from __future__ import annotations

import enum
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import msgspec.inspect
from django.http import QueryDict

from .exceptions import DeclarationError, Refusal
from .websocket import WebSocket

_MISSING: Any = inspect.Parameter.empty
_LISTS = (list, tuple, set, frozenset)
_ARRAYS = (
    msgspec.inspect.ListType,
    msgspec.inspect.SetType,
    msgspec.inspect.FrozenSetType,
    msgspec.inspect.VarTupleType,
)
# What one text, or one null, can say.
_FROM_TEXT = (
    msgspec.inspect.AnyType,
    msgspec.inspect.NoneType,
    msgspec.inspect.BoolType,
    msgspec.inspect.IntType,
    msgspec.inspect.FloatType,
    msgspec.inspect.StrType,
    msgspec.inspect.UUIDType,
    msgspec.inspect.DecimalType,
    msgspec.inspect.DateType,
    msgspec.inspect.TimeType,
    msgspec.inspect.DateTimeType,
    msgspec.inspect.TimeDeltaType,
    msgspec.inspect.EnumType,
    msgspec.inspect.LiteralType,
)
_SHOWN = 100
"""Characters of a wrong value that an error repeats."""


class InvalidValue(ValueError):
    """A text does not say what its parameter's annotation asks for."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a handler and where it comes from."""

    name: str
    annotation: Any
    default: Any
    from_path: bool
    many: bool

    def read(self, websocket: WebSocket) -> Any:
        """Return the argument. Raises `InvalidValue`."""
        if self.from_path:
            return self.convert(websocket.path_params[self.name])
        query: QueryDict = websocket.query_params
        if self.name in query:
            values = query.getlist(self.name)
            return self.convert(values if self.many else values[-1])
        if self.default is _MISSING:
            raise InvalidValue(f"Missing parameter '{self.name}'")
        return self.default

    def convert(self, value: Any) -> Any:
        """Return `value` as the annotation asks. Raises `InvalidValue`."""
        if self.annotation in (Any, str, str | None) and isinstance(value, str):
            return value
        if isinstance(self.annotation, type) and isinstance(value, self.annotation):
            return value  # the path's own converter made it
        text = value if self.many else str(value)
        try:
            converted = msgspec.convert(text, self.annotation, strict=False)
        except msgspec.ValidationError:
            converted = _MISSING
        if converted is _MISSING or _has_infinity(converted):
            expected = describe(self.annotation)
            raise InvalidValue(
                f"Invalid value {_shorten(text)} for parameter '{self.name}': expected {expected}"
            )
        return converted


class Binder:
    """What fills a handler's arguments when a client connects."""

    __slots__ = ("connection", "parameters", "positional")

    def __init__(
        self, connection: str, parameters: Sequence[Parameter], positional: Sequence[str]
    ) -> None:
        self.connection = connection
        self.parameters = tuple(parameters)
        self.positional = tuple(positional)

    def bind(self, websocket: WebSocket) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments. Raises a `Refusal` that tells all that is wrong at once."""
        arguments: dict[str, Any] = {self.connection: websocket}
        errors: list[str] = []
        for parameter in self.parameters:
            if parameter.name in websocket.taken:
                arguments[parameter.name] = parameter.default
                continue
            try:
                arguments[parameter.name] = parameter.read(websocket)
            except InvalidValue as error:
                errors.append(str(error))
        if errors:
            raise Refusal(422, "invalid_parameters", "; ".join(errors))
        return [arguments.pop(name) for name in self.positional], arguments


def compile_binder(
    function: Callable[..., Any],
    path_names: Collection[str],
    taken: Collection[str] = (),
) -> Binder:
    """Compile the signature of `function` for a path with the parameters `path_names`.

    `taken` are the query parameters that authentication takes away. Raises `DeclarationError`.
    """
    annotations = _resolve_annotations(function)
    signature = list(inspect.signature(function).parameters.values())
    connection = _find_connection(function, signature, annotations)
    parameters: list[Parameter] = []
    for declared in signature:
        if declared.kind in (declared.VAR_POSITIONAL, declared.VAR_KEYWORD):
            raise DeclarationError(
                f"parameter '{declared}' of a handler cannot be filled: name each parameter"
            )
        if declared.name == connection:
            continue
        from_path = declared.name in path_names
        if declared.name in taken and not from_path and declared.default is _MISSING:
            raise DeclarationError(
                f"parameter '{declared.name}' can never be filled: authentication takes "
                f"?{declared.name}= away; give it a default, or remove it"
            )
        annotation = annotations.get(declared.name, str)
        _check_convertible(declared.name, annotation)
        many = not from_path and _is_many(annotation)
        parameters.append(Parameter(declared.name, annotation, declared.default, from_path, many))
    positional = [each.name for each in signature if each.kind is each.POSITIONAL_ONLY]
    return Binder(connection, parameters, positional)


def _resolve_annotations(function: Callable[..., Any]) -> dict[str, Any]:
    target = inspect.unwrap(function)
    while hasattr(target, "func"):  # functools.partial
        target = target.func
    if not inspect.isroutine(target):
        target = type(target).__call__
    try:
        hints = typing.get_type_hints(target, include_extras=True)
    except NameError as error:
        raise DeclarationError(
            f"an annotation names {error.name!r}, which {target.__module__} does not define at "
            "runtime: import it there, outside of `if TYPE_CHECKING`"
        ) from None
    hints.pop("return", None)
    return hints


def _find_connection(
    function: Callable[..., Any],
    signature: Sequence[inspect.Parameter],
    annotations: dict[str, Any],
) -> str:
    annotated = [
        each.name
        for each in signature
        if isinstance(kind := annotations.get(each.name), type) and issubclass(kind, WebSocket)
    ]
    if len(annotated) > 1:
        raise DeclarationError(f"{' and '.join(annotated)} both ask for the connection")
    if annotated:
        return annotated[0]
    if signature and signature[0].name not in annotations:
        return signature[0].name
    raise DeclarationError(
        "the handler has no parameter for the connection: annotate one with WebSocket"
    )


def _check_convertible(name: str, annotation: Any) -> None:
    try:
        known = all(isinstance(kind, _FROM_TEXT) for kind in _kinds(annotation))
    except (TypeError, NotImplementedError):
        known = False
    if not known:
        raise DeclarationError(
            f"parameter '{name}': {describe(annotation)} cannot be read from a URL"
        )


def _kinds(annotation: Any) -> Iterator[msgspec.inspect.Type]:
    """Yield the simple types that `annotation` is made of."""
    pending = [msgspec.inspect.type_info(annotation)]
    while pending:
        kind = pending.pop()
        if isinstance(kind, msgspec.inspect.UnionType):
            pending.extend(kind.types)
        elif isinstance(kind, msgspec.inspect.TupleType):
            pending.extend(kind.item_types)
        elif isinstance(kind, _ARRAYS):
            pending.append(kind.item_type)
        elif isinstance(kind, msgspec.inspect.Metadata):
            pending.append(kind.type)
        else:
            yield kind


def _is_many(annotation: Any) -> bool:
    kind = msgspec.inspect.type_info(annotation)
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return any(isinstance(each, (*_ARRAYS, msgspec.inspect.TupleType)) for each in kinds)


def _has_infinity(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, _LISTS) and any(map(_has_infinity, value))


def describe(annotation: Any) -> str:
    """Return a type as people write it: `int`, `list[int]`, `'a' or 'b'`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join(map(repr, typing.get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(repr(member.value) for member in annotation)
    if origin in (types.UnionType, typing.Union):
        parts = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return " or ".join(map(describe, parts))
    if isinstance(annotation, type) and origin is None:
        return annotation.__name__
    return str(annotation).removeprefix("typing.")


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
