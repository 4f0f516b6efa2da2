"""The guards that come with bolt_ws."""

from typing import Any

import pytest

from bolt_ws import WebSocket
from bolt_ws.auth import (
    AllowAny,
    Guard,
    HasAllPermissions,
    HasAnyPermission,
    HasPermission,
    IsAdminUser,
    IsAuthenticated,
    IsStaff,
    JWTAuthentication,
)
from tests.support import make_token, serve, status


async def handler(websocket: WebSocket) -> None:
    await websocket.accept()


VIEW = HasPermission("chat.view")
ANY = HasAnyPermission("chat.view", "chat.add")
ALL = HasAllPermissions("chat.view", "chat.add")
USER: dict[str, Any] = {}
STAFF = {"is_staff": True}
ADMIN = {"is_superuser": True}


@pytest.mark.parametrize(
    ("guard", "claims", "answer"),
    [
        (AllowAny(), None, 101),
        (AllowAny(), USER, 101),
        (IsAuthenticated(), None, 401),
        (IsAuthenticated(), USER, 101),
        (IsStaff(), None, 401),
        (IsStaff(), USER, 403),
        (IsStaff(), STAFF, 101),
        (IsStaff(), ADMIN, 403),
        (IsAdminUser(), None, 401),
        (IsAdminUser(), USER, 403),
        (IsAdminUser(), STAFF, 403),
        (IsAdminUser(), ADMIN, 101),
        (VIEW, None, 401),
        (VIEW, USER, 403),
        (VIEW, {"permissions": []}, 403),
        (VIEW, {"permissions": ["chat.add"]}, 403),
        (VIEW, {"permissions": ["chat.viewer"]}, 403),
        (VIEW, {"permissions": ["chat.add", "chat.view"]}, 101),
        (VIEW, STAFF, 403),
        (VIEW, ADMIN, 101),
        (ANY, {"permissions": ["chat.add"]}, 101),
        (ANY, {"permissions": ["chat.view", "x.y"]}, 101),
        (ANY, {"permissions": ["x.y"]}, 403),
        (ANY, ADMIN, 101),
        (ANY, None, 401),
        (ALL, {"permissions": ["chat.add"]}, 403),
        (ALL, {"permissions": ["chat.add", "chat.view"]}, 101),
        (ALL, ADMIN, 101),
        (ALL, None, 401),
    ],
)
async def test_a_guard(guard: Guard, claims: dict[str, Any] | None, answer: int) -> None:
    application = serve(handler, auth=[JWTAuthentication()], guards=[guard])
    query = "" if claims is None else f"token={make_token(**claims)}"
    assert await status(application, query=query) == answer


@pytest.mark.parametrize(
    "guard",
    [IsAuthenticated(), IsStaff(), IsAdminUser(), VIEW, ANY, ALL],
    ids=lambda g: type(g).__name__,
)
async def test_a_guard_without_auth_lets_nobody_in(guard: Guard) -> None:
    application = serve(handler, guards=[guard])
    token = make_token(is_staff=True, is_superuser=True, permissions=["chat.view", "chat.add"])
    assert await status(application, query=f"token={token}") == 403


@pytest.mark.parametrize("kind", [HasAnyPermission, HasAllPermissions])
@pytest.mark.parametrize("permissions", [(), ("",), (None,), (["chat.view"],), ("chat.view", 1)])
def test_permissions_that_would_guard_nothing(kind: Any, permissions: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=kind.__name__):
        kind(*permissions)


def test_a_guard_without_has_permission_is_an_error() -> None:
    class Forgotten(Guard):
        pass

    with pytest.raises(TypeError, match="has_permission"):
        Forgotten()  # type: ignore[abstract]
