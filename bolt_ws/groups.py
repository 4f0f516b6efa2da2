"""A class whose fields are parameters: a msgspec Struct, a dataclass or a Pydantic model."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Union

import msgspec

from .annotations import describe, has_infinity, in_errors, split
from .exceptions import DeclarationError
from .handshake import Handshake
from .markers import Path, Source
from .sources import MISSING, Parameter, invalid, make_parameter

if TYPE_CHECKING:
    import pydantic

_OMITTED: Any = object()
"""The default of a field whose class has one."""
_REPEATED = (list, tuple, set, frozenset, abc.Sequence, abc.Set, abc.Iterable, abc.Collection)


class Group:
    """A parameter that is made of several: one for each field of its class."""

    __slots__ = ("_make", "default", "fields", "name")

    def __init__(
        self, name: str, default: Any, make: Callable[..., Any], fields: Sequence[Parameter]
    ) -> None:
        self.name = name
        self.default = default
        self.fields = tuple(fields)
        self._make = make

    def read(self, handshake: Handshake, errors: list[str]) -> Any:
        """Return the argument: its default where the handshake has none of its fields.

        What is wrong with it is added to `errors`.
        """
        if self.default is not MISSING and not any(each.find(handshake) for each in self.fields):
            return self.default
        wrong: list[str] = []
        read = {each.name: each.read(handshake, wrong) for each in self.fields}
        if not wrong:
            values = {name: value for name, value in read.items() if value is not _OMITTED}
            made = self.make(values, wrong)
        errors.extend(wrong)
        return None if wrong else made

    def make(self, values: dict[str, Any], errors: list[str]) -> Any:
        """Return the object that the fields' values make."""
        try:
            return self._make(**values)
        except ValueError as error:  # __post_init__ has something to say to the client
            errors.append(f"Invalid value for parameter '{self.name}': {error}")


class ModelGroup(Group):
    """A Pydantic model, which does its own converting and checking."""

    __slots__ = ("_by_attribute",)

    def __init__(
        self, name: str, default: Any, model: type[pydantic.BaseModel], marker: Source
    ) -> None:
        self._by_attribute = {
            attribute: list(_model_parameters(model, attribute, marker))
            for attribute in model.model_fields
        }
        fields = [each for several in self._by_attribute.values() for each in several]
        super().__init__(name, default, model.model_validate, fields)

    def make(self, values: dict[str, Any], errors: list[str]) -> Any:
        """Return the model, made of the texts that its fields are."""
        import pydantic  # here, because bolt_ws does not depend on it

        try:
            made = self._make(values)
        except pydantic.ValidationError as error:
            errors.extend(map(self._describe, error.errors(include_url=False)))
            return None
        for attribute, fields in self._by_attribute.items():
            if has_infinity(getattr(made, attribute)):
                errors.extend(
                    invalid(field, values[field.name], "expected a finite number")
                    for field in fields
                    if field.name in values
                )
        return made

    def _describe(self, error: Mapping[str, Any]) -> str:
        message = error["msg"].replace("Input should be", "expected", 1)
        named = {field.name: field for field in self.fields}
        field = named.get(error["loc"][0]) if error["loc"] else None
        if field is None:
            return f"Invalid value for parameter '{self.name}': {message}"
        if error["type"] == "missing":
            return f"Missing parameter '{field.wire_name}'"
        return invalid(field, error["input"], message)


def find_group(annotation: Any) -> Any:
    """Return the class whose fields `annotation` asks for, None if it asks for a single value."""
    if typing.get_origin(annotation) in (types.UnionType, Union):
        parts = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        annotation = parts[0] if len(parts) == 1 else None
    kind = typing.get_origin(annotation) or annotation
    if not isinstance(kind, type):
        return None
    is_group = issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind)
    return annotation if is_group or _is_model(kind) else None


def _is_model(kind: Any) -> bool:
    return hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_fields")


def make_group(name: str, kind: Any, default: Any, marker: Source) -> Group:
    """Return the parameter `name`, whose fields come from where `marker` says.

    Raises `DeclarationError` for a class that could never be filled.
    """
    if isinstance(marker, Path) or marker != type(marker)():
        raise DeclarationError(
            f"{describe(kind)} is a group of parameters, and takes "
            "Query(), Header() or Cookie() without arguments"
        )
    if _is_model(kind):
        return ModelGroup(name, default, kind, marker)
    return Group(name, default, kind, list(_fields(kind, marker)))


def _fields(kind: Any, marker: Source) -> Iterator[Parameter]:
    is_struct = issubclass(typing.get_origin(kind) or kind, msgspec.Struct)
    for name, encoded_name, declared, is_required in (
        _struct_fields(kind) if is_struct else _dataclass_fields(kind)
    ):
        with in_errors(f"{describe(kind)}.{name}"):
            annotation, own = split(declared)
            if own is not None and type(own) is not type(marker):
                raise DeclarationError(f"{own!r} cannot stand in a group that is {marker!r}")
            if not (isinstance(own, Source) and own.alias):
                own = _named(marker, name, encoded_name)
            yield make_parameter(name, annotation, MISSING if is_required else _OMITTED, own)


def _named(marker: Source, name: str, encoded_name: str) -> Source:
    return type(marker)(alias=None if encoded_name == name else encoded_name)


def _struct_fields(kind: Any) -> Iterator[tuple[str, str, Any, bool]]:
    for field in msgspec.structs.fields(kind):
        yield field.name, field.encode_name, field.type, field.required


def _dataclass_fields(kind: Any) -> Iterator[tuple[str, str, Any, bool]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    for name, hint in hints.items():
        if isinstance(hint, dataclasses.InitVar):
            raise DeclarationError(f"{describe(kind)}.{name} is an InitVar, not a field")
    for field in dataclasses.fields(kind):
        if field.init:
            is_required = field.default is field.default_factory is dataclasses.MISSING
            yield field.name, field.name, hints[field.name], is_required


def _model_parameters(
    model: type[pydantic.BaseModel], attribute: str, marker: Source
) -> Iterator[Parameter]:
    field = model.model_fields[attribute]
    _check_model_field(model, attribute, field.annotation)
    # Pydantic converts: texts are all that it is given.
    annotation = list[str] if _is_repeated(field.annotation) else str
    for key in _keys(attribute, field.validation_alias, model):
        with in_errors(f"{describe(model)}.{attribute}"):
            yield make_parameter(key, annotation, _OMITTED, _named(marker, attribute, key))


def _keys(name: str, alias: Any, model: type[pydantic.BaseModel]) -> list[str]:
    """Return the names that a Pydantic field is filled by."""
    keys = [each for each in getattr(alias, "choices", [alias]) if isinstance(each, str)]
    by_name = model.model_config.get("populate_by_name") or model.model_config.get(
        "validate_by_name"
    )
    return [*keys, name] if by_name and name not in keys else keys or [name]


def _check_model_field(model: type[pydantic.BaseModel], name: str, annotation: Any) -> None:
    import pydantic

    kind = typing.get_origin(annotation) or annotation
    if issubclass(model, pydantic.RootModel) or (
        isinstance(kind, type) and issubclass(kind, (pydantic.BaseModel, dict))
    ):
        raise DeclarationError(
            f"{describe(model)}.{name}: {describe(annotation)} cannot be read from a text"
        )


def _is_repeated(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _is_repeated(typing.get_args(annotation)[0])
    if origin in (types.UnionType, Union):
        return any(map(_is_repeated, typing.get_args(annotation)))
    return (origin or annotation) in _REPEATED
