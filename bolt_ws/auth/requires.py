"""`Requires`: a guard on the claims of whoever connects."""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Any, Final

from django.core.exceptions import PermissionDenied

from ..handshake import Handshake
from .backends import nonblocking
from .guards import Guard

_SCOPES: Final = frozenset({"scope", "scp"})
"""Claims whose text is a list, separated by spaces (RFC 6749 section 3.3, RFC 8693 section 4.2)."""

# What the elements of a claim can be, so that all is understood before anything is compared.
_SCALARS: Final = (str, int, float, bool)
# And what one can ask for. A float is seldom equal to anything.
_ASKED: Final = (str, int, bool)

_Typed = tuple[type, Any]


class Requires(Guard):
    """Users with a claim, or with certain values of it; never anonymous clients.

    Without values, `claim` must be there and be neither false, empty, zero, nor the text "false".
    `values` are alternatives: one must be among the claim's; each of `all_of` must, and none of
    `none_of`. A claim that is a list has its elements as values, and so has the text of `scope` and
    `scp`, which spaces separate; any other claim is one value. A claim that is missing has none.
    Types count: 1 is neither True nor "1". A member of an enum stands for its value.

    A claim that cannot be compared (an object, a list of lists) refuses, behind a `~` too. Raises
    `ValueError` for arguments that would guard nothing.
    """

    def __init__(
        self,
        claim: str,
        *values: Any,
        all_of: Collection[Any] | None = None,
        none_of: Collection[Any] | None = None,
    ) -> None:
        if not isinstance(claim, str) or not claim:
            raise ValueError(f"Requires takes the name of a claim, not {claim!r}")
        self.claim = claim
        self._any_of = self._typed(values, "values")
        self._all_of = self._typed(all_of, "all_of")
        self._none_of = self._typed(none_of, "none_of")
        self._arguments = [repr(claim), *map(repr, values)]
        self._arguments += [
            f"{name}={given!r}"
            for name, given in (("all_of", all_of), ("none_of", none_of))
            if given is not None
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._arguments)})"

    def _typed(self, given: Any, name: str) -> frozenset[_Typed]:
        if given is None:
            return frozenset()
        if not isinstance(given, list | tuple | set | frozenset):
            raise ValueError(f"Requires({self.claim!r}): {name} must be a list, not {given!r}")
        if not given and name != "values":
            raise ValueError(f"Requires({self.claim!r}): {name} is empty and would guard nothing")
        return frozenset(self._typed_one(each) for each in given)

    def _typed_one(self, given: Any) -> _Typed:
        value = given.value if isinstance(given, enum.Enum) else given
        if type(value) not in _ASKED:
            raise ValueError(
                f"Requires({self.claim!r}): a value is text, a whole number, True or False, "
                f"not {given!r}"
            )
        if value == "":
            raise ValueError(f"Requires({self.claim!r}): a value is empty")
        if self.claim in _SCOPES and isinstance(value, str) and " " in value:
            raise ValueError(
                f"Requires({self.claim!r}): {given!r} is several scopes; give each by itself"
            )
        return type(value), value

    @nonblocking
    def has_permission(self, websocket: Handshake) -> bool:
        """Look at `context.claims`. Raises `PermissionDenied` for a claim of an unknown shape."""
        context = websocket.context
        if context["user_id"] is None:
            return False
        claim = context["claims"].get(self.claim)
        if not (self._any_of or self._all_of or self._none_of):
            return self._is_there(claim)
        held = self._held(claim)
        return (
            (not self._any_of or not self._any_of.isdisjoint(held))
            and self._all_of <= held
            and self._none_of.isdisjoint(held)
        )

    def _is_there(self, claim: Any) -> bool:
        if isinstance(claim, str):  # some identity providers send email_verified as text
            return claim.strip().lower() not in ("", "false")
        return bool(claim)

    def _held(self, claim: Any) -> frozenset[_Typed]:
        if claim is None:
            return frozenset()
        if isinstance(claim, list | tuple | set | frozenset):
            held = list(claim)
        elif isinstance(claim, str) and self.claim in _SCOPES:
            held = [scope for scope in claim.split(" ") if scope]
        else:
            held = [claim]
        if any(type(each) not in _SCALARS for each in held):
            raise PermissionDenied(f"the claim {self.claim!r} holds what cannot be compared")
        return frozenset((type(each), each) for each in held)
