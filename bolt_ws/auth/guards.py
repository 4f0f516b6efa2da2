"""Guards: conditions on a connection that must hold before it is accepted."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Awaitable, Callable, Iterator
from types import UnionType
from typing import Any, ClassVar, NoReturn

from ..handshake import Handshake
from .backends import nonblocking, resolved, unblocked


class _GuardType(abc.ABCMeta):
    """The type of guard classes: `IsStaff & IsAdminUser` says which brackets are missing.

    `IsStaff | IsAdminUser` is Python's own, a union for annotations, and no guard.
    """

    def __and__(cls, other: object) -> NoReturn:
        raise TypeError(f"{cls.__name__} is a class; write {cls.__name__}()")

    __rand__ = __and__

    def __invert__(cls) -> NoReturn:
        raise TypeError(f"{cls.__name__} is a class; write ~{cls.__name__}()")


class Guard(metaclass=_GuardType):
    """A condition. Subclass it and write `has_permission`, sync or async.

    Guards combine with `&`, `|` and `~`, which raise `TypeError` for anything else. The parts are
    asked from left to right, until one decides. A part that raises, or that returns neither True
    nor False, refuses whatever stands around it. `~` holds for nobody who is anonymous.
    """

    @abc.abstractmethod
    def has_permission(self, websocket: Handshake) -> bool | Awaitable[bool]:
        """Tell whether the connection may be accepted. An exception refuses it too."""

    def __and__(self, other: Guard) -> Guard:
        return AllOf(*_parts(self, AllOf), *_parts(other, AllOf))

    def __or__(self, other: Guard) -> Guard:
        return AnyOf(*_parts(self, AnyOf), *_parts(other, AnyOf))

    def __rand__(self, other: object) -> NoReturn:
        raise _no_guard(other)  # a guard would have answered itself

    __ror__ = __rand__

    def __invert__(self) -> Guard:
        return Not(self)

    def __bool__(self) -> NoReturn:
        # `IsStaff() and IsMember()` is IsMember() alone, for Python.
        raise TypeError("a guard is neither true nor false: combine guards with &, | and ~")

    def __repr__(self) -> str:
        takes_arguments = type(self).__init__ is not object.__init__
        return f"{type(self).__name__}({'...' if takes_arguments else ''})"


class AllowAny(Guard):
    """Everybody, anonymous clients included; a bad credential is refused all the same."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Allow."""
        return True


class IsAuthenticated(Guard):
    """Whoever has a valid credential."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.user_id`."""
        return websocket.context["user_id"] is not None


class IsStaff(Guard):
    """Users with `is_staff`, who may enter Django's admin."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.is_staff`."""
        context = websocket.context
        return context.user_id is not None and context.is_staff is True


class IsAdminUser(Guard):
    """Users with `is_superuser`."""

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.is_superuser`."""
        context = websocket.context
        return context.user_id is not None and context.is_superuser is True


class HasAllPermissions(Guard):
    """Users with each of the permissions; superusers have all, as everywhere in Django."""

    def __init__(self, *permissions: str) -> None:
        if not permissions or not all(isinstance(each, str) and each for each in permissions):
            raise ValueError(
                f"{type(self).__name__} takes permissions as text, 'app.codename', "
                f"but got {permissions!r}"
            )
        self.permissions = frozenset(permissions)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, sorted(self.permissions)))})"

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.permissions`."""
        context = websocket.context
        if context["user_id"] is None:
            return False
        return context["is_superuser"] is True or self._are_enough(context["permissions"])

    def _are_enough(self, permissions: frozenset[str]) -> bool:
        return self.permissions <= permissions


class HasAnyPermission(HasAllPermissions):
    """Users with at least one of the permissions."""

    def _are_enough(self, permissions: frozenset[str]) -> bool:
        return not self.permissions.isdisjoint(permissions)


class HasPermission(HasAllPermissions):
    """Users with the permission."""

    def __init__(self, permission: str) -> None:
        super().__init__(permission)


class _Chain(Guard):
    """Parts that are asked in order, until one gives the answer that decides."""

    decisive: ClassVar[bool]
    sign: ClassVar[str]

    def __init__(self, *parts: Guard) -> None:
        self.parts = parts
        self._steps = [(part, unblocked(part.has_permission)) for part in parts]

    def __repr__(self) -> str:
        inner = (f"({part!r})" if isinstance(part, _Chain) else repr(part) for part in self.parts)
        return f" {self.sign} ".join(inner)

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool | Awaitable[bool]:
        """Ask the parts. What is returned is awaitable only if a part's answer is."""
        return self._ask(websocket, iter(self._steps))

    def _ask(self, websocket: Handshake, steps: Iterator[_Step]) -> bool | Awaitable[bool]:
        for part, has_permission in steps:
            answer = has_permission(websocket)
            if inspect.isawaitable(answer):
                return self._go_on(websocket, part, answer, steps)
            if _checked(part, answer) is self.decisive:
                return self.decisive
        return not self.decisive

    async def _go_on(
        self, websocket: Handshake, part: Guard, answer: Awaitable[Any], steps: Iterator[_Step]
    ) -> bool:
        if _checked(part, await resolved(answer)) is self.decisive:
            return self.decisive
        rest: bool = await resolved(self._ask(websocket, steps))
        return rest


class AllOf(_Chain):
    """What `&` makes: every part must hold."""

    decisive = False
    sign = "&"


class AnyOf(_Chain):
    """What `|` makes: one part must hold."""

    decisive = True
    sign = "|"


class Not(Guard):
    """What `~` makes: somebody is there, and the part does not hold."""

    def __init__(self, part: Guard) -> None:
        self.part = part
        self._has_permission = unblocked(part.has_permission)

    def __repr__(self) -> str:
        return f"~({self.part!r})" if isinstance(self.part, _Chain) else f"~{self.part!r}"

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool | Awaitable[bool]:
        """Ask the part. What is returned is awaitable only if the part's answer is."""
        if websocket.context["user_id"] is None:
            return False
        answer = self._has_permission(websocket)
        if inspect.isawaitable(answer):
            return self._invert(answer)
        return not _checked(self.part, answer)

    async def _invert(self, answer: Awaitable[Any]) -> bool:
        return not _checked(self.part, await resolved(answer))


_Step = tuple[Guard, Callable[[Handshake], Any]]


def _parts(operand: object, chain: type[_Chain]) -> tuple[Guard, ...]:
    if not isinstance(operand, Guard):
        raise _no_guard(operand)
    return operand.parts if type(operand) is chain else (operand,)


def _no_guard(operand: object) -> TypeError:
    if isinstance(operand, type) and issubclass(operand, Guard):
        return TypeError(f"{operand.__name__} is a class; write {operand.__name__}()")
    if isinstance(operand, UnionType):  # of two classes
        return TypeError(f"{operand!r} are classes; guards are instances, such as IsStaff()")
    return TypeError(f"&, | and ~ combine guards such as IsStaff(), not {operand!r}")


def _checked(part: Guard, answer: object) -> bool:
    # Whether it would allow or not: a forgotten `return` must not let in behind a `~`.
    if isinstance(answer, bool):
        return answer
    raise TypeError(f"{part!r} must answer True or False, not with {type(answer).__name__}")
