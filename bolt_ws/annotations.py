"""Annotations, compiled into what reads a text: types, constraints, and how errors name them."""

from __future__ import annotations

import contextlib
import enum
import math
import types
import typing
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any, Union

import msgspec
import msgspec.inspect

from .exceptions import DeclarationError
from .markers import Dependant, Depends, Source

_LISTS = (list, tuple, set, frozenset)
_ARRAYS = (
    msgspec.inspect.ListType,
    msgspec.inspect.SetType,
    msgspec.inspect.FrozenSetType,
    msgspec.inspect.VarTupleType,
)
_REPEATED = (*_ARRAYS, msgspec.inspect.TupleType)
_WITH_INFINITY = (msgspec.inspect.FloatType, msgspec.inspect.DecimalType)
# What one text, or one null, can say.
_FROM_TEXT = (
    *_WITH_INFINITY,
    msgspec.inspect.AnyType,
    msgspec.inspect.NoneType,
    msgspec.inspect.BoolType,
    msgspec.inspect.IntType,
    msgspec.inspect.StrType,
    msgspec.inspect.UUIDType,
    msgspec.inspect.DateType,
    msgspec.inspect.TimeType,
    msgspec.inspect.DateTimeType,
    msgspec.inspect.TimeDeltaType,
    msgspec.inspect.EnumType,
    msgspec.inspect.LiteralType,
)
# Their constraints mean nothing to msgspec; one that is not checked must not look checked.
_FOREIGN = {"annotated_types", "fastapi", "pydantic"}
_LIMITS = (
    ("gt", "> "),
    ("ge", ">= "),
    ("lt", "< "),
    ("le", "<= "),
    ("multiple_of", "multiple of "),
)
_SHOWN = 100
"""Characters of a wrong value that an error repeats."""


class InvalidValue(ValueError):
    """A text does not say what its annotation asks for."""


class Converter:
    """What turns a text, or a list of texts, into what an annotation asks for.

    Raises `DeclarationError` for an annotation that no text can fill.
    """

    __slots__ = ("_holder", "_is_text", "_kind", "_may_be_infinite", "expected", "is_many")

    def __init__(self, annotation: Any, place: str) -> None:
        kinds = _check_kinds(annotation, place)
        self.expected = describe(annotation)
        self.is_many = any(isinstance(kind, _REPEATED) for kind in kinds)
        """Whether it wants all values of a repeated parameter."""
        self._is_text = annotation in (Any, str, str | None)
        self._kind = object if annotation is Any else annotation
        self._may_be_infinite = any(isinstance(kind, _WITH_INFINITY) for kind in kinds)
        # msgspec remembers what it found out of a Struct: 0.4 us, where Annotated[int, Meta(ge=1)]
        # by itself costs 0.7 and `int | None` 1.4, each time.
        self._holder = msgspec.defstruct("Holder", [("value", annotation)])

    def from_text(self, value: Any) -> Any:
        """Return what a text, or a list of texts, says. Raises `InvalidValue`."""
        if self._is_text:
            return value
        try:
            converted = msgspec.convert({"value": value}, self._holder, strict=False).value  # type: ignore[attr-defined]
        except (msgspec.ValidationError, TypeError, ArithmeticError):  # a Decimal's sNaN in a set
            raise InvalidValue(value) from None
        if self._may_be_infinite and has_infinity(converted):
            raise InvalidValue(value)
        return converted

    def from_path(self, value: Any) -> Any:
        """Return what a path's parameter says, which its converter may have made something else."""
        if isinstance(self._kind, type) and isinstance(value, self._kind):
            return value
        return self.from_text(str(value))


def split(annotation: Any) -> tuple[Any, Source | Dependant | None]:
    """Return the type, with its constraints, and the marker of an annotation.

    Raises `DeclarationError` for a marker that would not be heeded.
    """
    annotation = _resolve_alias(annotation)
    kind, *metadata = (
        typing.get_args(annotation) if typing.get_origin(annotation) is Annotated else [annotation]
    )
    for each in metadata:
        _check_metadata(each)
    markers = [each for each in metadata if isinstance(each, (Source, Dependant))]
    constraints = [each for each in metadata if isinstance(each, msgspec.Meta)]
    if len(markers) > 1:
        raise DeclarationError(f"{markers[0]!r} and {markers[1]!r} are one marker too many")
    if found := _find_nested(kind):
        raise DeclarationError(
            f"{found!r} stands inside of a type: write Annotated[<the whole type>, ...], and "
            "msgspec.Meta(...) for a constraint on a part"
        )
    marker = markers[0] if markers else None
    if isinstance(marker, Source) and (own := marker.constraints()):
        constraints.append(own)
    return _constrain(kind, constraints), marker


@contextlib.contextmanager
def in_errors(what: str) -> Iterator[None]:
    """Say in a `DeclarationError` what it is about."""
    try:
        yield
    except DeclarationError as error:
        raise DeclarationError(f"{what}: {error}") from None


def _resolve_alias(annotation: Any) -> Any:
    while type(annotation).__name__ == "TypeAliasType":  # `type X = ...`, from Python 3.12
        annotation = annotation.__value__
    return annotation


def _check_metadata(metadata: object) -> None:
    if metadata is Depends or (isinstance(metadata, type) and issubclass(metadata, Source)):
        raise DeclarationError(f"{metadata.__name__} is no marker; write {metadata.__name__}()")
    if type(metadata).__module__.partition(".")[0] in _FOREIGN:
        raise DeclarationError(
            f"{metadata!r} is not checked here; write bolt_ws.Query(...), a marker of its kind, or "
            "msgspec.Meta(...)"
        )


def _find_nested(annotation: Any) -> object | None:
    for part in typing.get_args(annotation):
        if isinstance(part, (Source, Dependant)):
            return part
        if found := _find_nested(_resolve_alias(part)):
            return found
    return None


def _constrain(kind: Any, constraints: Sequence[msgspec.Meta]) -> Any:
    """Put constraints on a type; on all parts of a union but None, as msgspec wants it."""
    if not constraints or kind is types.NoneType:
        return kind
    if typing.get_origin(kind) in (types.UnionType, Union):
        return Union[tuple(_constrain(part, constraints) for part in typing.get_args(kind))]  # noqa: UP007
    return Annotated[(kind, *constraints)]


def _check_kinds(annotation: Any, place: str) -> list[msgspec.inspect.Type]:
    """Return all types that `annotation` is made of, if each can be read from texts."""
    try:
        kinds = list(_kinds(annotation))
        known = all(isinstance(kind, (*_FROM_TEXT, *_REPEATED)) for kind in kinds)
    except (TypeError, NotImplementedError) as error:
        if typing.get_origin(annotation) is Annotated:
            raise DeclarationError(str(error)) from None  # `ge` on a text and its like
        known = False
    if not known:
        raise DeclarationError(f"{describe(annotation)} cannot be read from {place}")
    return kinds


def _kinds(annotation: Any) -> Iterator[msgspec.inspect.Type]:
    pending: list[Any] = [msgspec.inspect.type_info(annotation)]
    while pending:
        kind = pending.pop()
        if isinstance(kind, msgspec.inspect.UnionType):
            pending.extend(kind.types)
        elif isinstance(kind, msgspec.inspect.Metadata):
            pending.append(kind.type)
        else:
            yield kind
            if isinstance(kind, msgspec.inspect.TupleType):
                pending.extend(kind.item_types)
            elif isinstance(kind, _ARRAYS):
                pending.append(kind.item_type)


def has_infinity(value: Any) -> bool:
    """Return whether a number, or one in a list, is infinite or none at all."""
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, Decimal):
        return not value.is_finite()
    return isinstance(value, _LISTS) and any(map(has_infinity, value))


def describe(annotation: Any) -> str:
    """Return a type as people write it: `int >= 1`, `list[int]`, `'a' or 'b'`."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        kind, *metadata = typing.get_args(annotation)
        return " ".join([describe(kind), *_describe_constraints(kind, metadata)])
    if origin is typing.Literal:
        return " or ".join(map(repr, typing.get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(repr(member.value) for member in annotation)
    if origin in (types.UnionType, Union):
        parts = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        return " or ".join(map(describe, parts))
    if isinstance(annotation, type) and origin is None:
        return annotation.__name__
    return str(annotation).removeprefix("typing.")


def _describe_constraints(kind: Any, metadata: Sequence[object]) -> Iterator[str]:
    found: dict[str, Any] = {}
    for meta in metadata:
        if isinstance(meta, msgspec.Meta):
            found.update((name, value) for name, value in meta.__rich_repr__() if value is not None)
    limits = [f"{sign}{found[name]}" for name, sign in _LIMITS if name in found]
    if limits:
        yield " and ".join(limits)
    shortest, longest = found.get("min_length"), found.get("max_length")
    unit = "characters" if kind in (str, bytes) else "items"
    if shortest is not None and longest is not None:
        yield f"of {shortest} to {longest} {unit}"
    elif shortest is not None:
        yield f"of at least {shortest} {unit}"
    elif longest is not None:
        yield f"of at most {longest} {unit}"
    if pattern := found.get("pattern"):
        yield f"matching {pattern!r}"


def shorten(value: Any) -> str:
    """Return `value` as an error repeats it."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
