"""The storage of one connection: who is there, and whatever the handler keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """What an authentication backend found out. `user_id` is always text, and never empty.

    Raises `TypeError` and `ValueError` for one that is not.
    """

    user_id: str
    is_staff: bool = False
    is_superuser: bool = False
    permissions: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=dict)
    expires_at: float | None = None
    """When the credential expires, in seconds since the epoch; then the connection is closed."""
    is_ambient: bool = False
    """Whether a browser sends the credential by itself, as it does cookies, for any page."""
    user: Any = field(default=None, compare=False, repr=False)
    """Django's user, where the backend has loaded it anyway."""

    def __post_init__(self) -> None:
        if not isinstance(self.user_id, str):
            raise TypeError(f"a user's id is text, str(user.pk), and not {self.user_id!r}")
        if not self.user_id:
            raise ValueError("a user's id is text, str(user.pk), and not empty")


class ConnectionContext(dict[str, Any]):
    """A dict whose items are attributes too.

    It always holds `user_id` (None while anonymous), `is_staff`, `is_superuser`, `permissions`,
    `auth_backend` (the backend's class name) and `claims`.
    """

    def __init__(self) -> None:
        super().__init__(
            user_id=None,
            is_staff=False,
            is_superuser=False,
            permissions=frozenset[str](),
            auth_backend=None,
            claims={},
        )

    def identify(self, identity: Identity, backend: str) -> None:
        """Take over what an authentication backend found out."""
        self.update(
            user_id=identity.user_id,
            is_staff=identity.is_staff,
            is_superuser=identity.is_superuser,
            permissions=identity.permissions,
            auth_backend=backend,
            claims=dict(identity.claims),
        )

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"websocket.context has no {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(dict, name):
            raise AttributeError(
                f"{name!r} is a method of websocket.context; use websocket.context[{name!r}]"
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"websocket.context has no {name!r}") from None

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self]


def user_text(user_id: object) -> str:
    """Return a user's id as text, as which ids are compared.

    Raises `TypeError` for what is none, as a user in place of the id.
    """
    if user_id is None or hasattr(user_id, "pk"):
        raise TypeError(f"expected a user's id, not {user_id!r}")
    return str(user_id)
