"""The endpoints under attack. Who gets into one is in `entered`."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.http import Http404

from bolt_ws import (
    BlockingWebSocket,
    BoltAPI,
    Cookie,
    Depends,
    Header,
    WebSocket,
    WebSocketException,
)
from bolt_ws.auth import (
    AllowAny,
    APIKeyAuthentication,
    Authentication,
    AuthenticationFailed,
    Guard,
    HasPermission,
    Identity,
    IsAdminUser,
    IsStaff,
    JWTAuthentication,
    Query,
    Requires,
    RevocationStore,
    SessionAuthentication,
    Subprotocol,
    TicketAuthentication,
    hash_api_key,
)
from bolt_ws.auth import Cookie as CookieSource
from bolt_ws.auth import Header as HeaderSource
from tests.hostile.tokens import API_KEY, AUDIENCE, ES_PUBLIC, ISSUER, KEYS

SLOW = 0.25
"""Seconds that a slow step takes: longer than some deadlines, and than some tokens are good."""

entered: list[str] = []
"""The paths of the connections whose handler, or whose `on_connect`, has run."""


async def enter(websocket: WebSocket) -> None:
    entered.append(websocket.path)
    await websocket.send_text("entered")


def enter_blocking(websocket: BlockingWebSocket) -> None:
    entered.append(websocket.path)
    websocket.send_text("entered")


async def enter_room(websocket: WebSocket, room_id: int) -> None:
    await enter(websocket)


async def enter_searching(
    websocket: WebSocket,
    page: int,
    ratio: float = 0.5,
    exact: bool = False,
    order: Literal["asc", "desc"] = "asc",
) -> None:
    await enter(websocket)


async def enter_with_headers(
    websocket: WebSocket,
    x_version: Annotated[int, Header()],
    theme: Annotated[Literal["dark", "light"], Cookie()] = "dark",
) -> None:
    await enter(websocket)


async def answer(asked: str | None) -> Any:
    """Do as a query parameter says, or answer with what it names."""
    errors = {
        "lookup-error": LookupError("secret detail"),
        "recursion-error": RecursionError("secret detail"),
        "stop-iteration": StopAsyncIteration("secret detail"),
        "group": ExceptionGroup("secret detail", [ValueError("secret detail")]),
        "timeout-error": TimeoutError("secret detail"),
        "permission-denied": PermissionDenied("secret detail"),
        "http404": Http404("secret detail"),
        "suspicious": SuspiciousOperation("secret detail"),
        "invalid": ValidationError("not today"),
        "close-4001": WebSocketException(4001, "not you"),
        "failed": AuthenticationFailed("That is not you"),
    }
    if asked in errors:
        raise errors[asked]
    if asked == "hangs":
        await asyncio.Event().wait()
    if asked == "slow":
        await asyncio.sleep(SLOW)
    answers = {"false": False, "none": None, "1": 1, "yes": "yes", "list": [True], "dict": {1: 2}}
    return answers.get(asked or "", True)


class Obedient(Guard):
    """Answers as the client asks, in `?guard=`."""

    async def has_permission(self, websocket: Any) -> Any:
        asked = websocket.query_params.get("guard")
        if asked == "expires":
            await asyncio.sleep(websocket.context.claims["exp"] - time.time() + 0.01)
        elif asked == "closes":
            await websocket.close(4001, "not you")
        elif asked == "rejects":
            await websocket.reject(404, "nobody here")
        elif asked == "accepts":
            await websocket.accept()
        elif asked == "sends":
            await websocket.send_text("come in")
        return await answer(asked)


class ObedientThread(Guard):
    """The same, in the thread of Django's synchronous code."""

    def has_permission(self, websocket: Any) -> Any:
        asked = websocket.query_params.get("guard")
        if asked == "blocks":
            time.sleep(SLOW)
            return True
        return answer(asked)


def logging_in(application: Any) -> Any:
    """A middleware that believes a cookie, as that of Channels does."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if (b"cookie", b"visitor=ann") in scope["headers"]:
            scope = {**scope, "user": "ann"}
        await application(scope, receive, send)

    return serve


class IsVisitor(Guard):
    """Whom the middleware knows."""

    async def has_permission(self, websocket: Any) -> bool:
        return "user" in websocket


class ObedientBackend(Authentication):
    """The same, of a backend."""

    async def authenticate(self, websocket: Any) -> Any:
        asked = websocket.query_params.get("backend")
        if asked is None:
            return None
        found = await answer(asked)
        return Identity("7") if found is True and asked != "true" else found


async def obey(websocket: WebSocket, dependency: str = "") -> Any:
    return await answer(dependency)


async def enter_depending(websocket: WebSocket, given: Annotated[Any, Depends(obey)]) -> None:
    await enter(websocket)


def make_api() -> BoltAPI:
    """Return all endpoints, compiled anew."""
    api = BoltAPI()
    by_default = [JWTAuthentication()]
    full = JWTAuthentication(
        audience=AUDIENCE,
        issuer=ISSUER,
        required_claims=["role"],
        revocation=RevocationStore(),
        sources=[Query("token"), HeaderSource(), Subprotocol("bearer"), CookieSource("access")],
    )
    endpoint = api.websocket("/jwt", auth=by_default)(enter)

    @endpoint.on_connect
    async def note(websocket: WebSocket) -> None:
        entered.append(f"on_connect of {websocket.path}")

    public_key = JWTAuthentication(algorithms=["ES256"], public_key=ES_PUBLIC)
    more: dict[str, dict[str, Any]] = {
        "/full": {"auth": [full]},
        "/es": {"auth": [public_key]},
        "/kid": {"auth": [JWTAuthentication(keys=KEYS)]},
        "/all-welcome": {"auth": by_default, "guards": [AllowAny()]},
        "/session": {"auth": [SessionAuthentication()]},
        "/session/any-origin": {"auth": [SessionAuthentication()], "origins": ["*"]},
        "/middleware/any-origin": {
            "middleware": [logging_in],
            "guards": [IsVisitor()],
            "origins": ["*"],
        },
        "/key": {"auth": [APIKeyAuthentication({hash_api_key(API_KEY): "robot"})]},
        "/ticket": {"auth": [TicketAuthentication()]},
        "/ticket/other": {"auth": [TicketAuthentication()]},
        "/staff": {"auth": by_default, "guards": [IsStaff()]},
        "/admin": {"auth": by_default, "guards": [IsAdminUser()]},
        "/permission": {"auth": by_default, "guards": [HasPermission("chat.view")]},
        "/no-staff": {"auth": by_default, "guards": [~IsStaff()]},
        "/level": {"auth": by_default, "guards": [Requires("level", 1)]},
        "/member": {"auth": by_default, "guards": [Requires("groups", "a", all_of=["b", "c"])]},
        "/verified": {"auth": by_default, "guards": [Requires("email_verified")]},
        "/no-guest": {"auth": by_default, "guards": [Requires("roles", none_of=["guest"])]},
        "/scope": {"auth": by_default, "guards": [Requires("scope", "chat:write")]},
        "/composed": {
            "auth": by_default,
            "guards": [(IsStaff() | HasPermission("chat.view")) & ~Requires("banned")],
        },
        "/guard": {"guards": [Obedient()]},
        "/guard/thread": {"guards": [ObedientThread()]},
        "/guard/not": {"auth": [ObedientBackend()], "guards": [~Obedient()]},
        "/guard/and": {"auth": [ObedientBackend()], "guards": [AllowAny() & Obedient()]},
        "/guard/expiring": {"auth": by_default, "guards": [Obedient()]},
        "/backend": {"auth": [ObedientBackend()]},
        "/origins": {"origins": ["https://app.example", "https://*.trusted.example:8443"]},
        "/public": {},
    }
    for path, options in more.items():
        api.websocket(path, **options)(enter)
    api.websocket("/blocking", auth=by_default)(enter_blocking)
    api.websocket("/room/{room_id}")(enter_room)
    api.websocket("/number/{room_id:int}")(enter_room)
    api.websocket("/search")(enter_searching)
    api.websocket("/headers")(enter_with_headers)
    api.websocket("/depends")(enter_depending)
    return api


def withdraw_credentials() -> None:
    """Revoke what the hostile handshakes use."""
    store = RevocationStore()
    store.revoke("revoked")
    store.revoke_user("revoked-user")
