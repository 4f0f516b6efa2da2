"""Handlers that show what they can in their exceptions: `tests.live.project.leaks:application`."""

from typing import Any

from bolt_ws.asgi import get_asgi_application

served = get_asgi_application()

# Django is set up now, which authentication needs.
from bolt_ws import BoltAPI, WebSocket  # noqa: E402
from bolt_ws.auth import AllowAny, Guard, IsStaff, JWTAuthentication  # noqa: E402
from bolt_ws.handshake import Handshake  # noqa: E402

from .api import AUDIENCE  # noqa: E402

api = BoltAPI(prefix="/leaks", guards=[AllowAny()])
_auth = [JWTAuthentication(audience=AUDIENCE)]


class Shows(Guard):
    def has_permission(self, websocket: Handshake) -> bool:
        raise RuntimeError(f"the guard has {shown(websocket)}")


def shown(websocket: Handshake) -> str:
    """All that a careless message may hold."""
    return repr((dict(websocket.scope), dict(websocket.headers)))


@api.websocket("/echo")
@api.websocket("/echo/{mark}")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket("/me", auth=_auth)
async def me(websocket: WebSocket) -> None:
    await websocket.send_json(websocket.context.user_id)


@api.websocket("/staff", auth=_auth, guards=[IsStaff()])
async def staff(websocket: WebSocket) -> None:
    await websocket.accept()


@api.websocket("/rejects")
async def rejects(websocket: WebSocket) -> None:
    await websocket.reject(403, shown(websocket)[:40])


@api.websocket("/raises")
async def raises(websocket: WebSocket) -> None:
    raise RuntimeError(f"the handler has {shown(websocket)}")


@api.websocket("/raises-after-accept")
async def raises_after_accept(websocket: WebSocket) -> None:
    await websocket.accept()
    raise RuntimeError(f"the handler has {shown(websocket)}")


@api.websocket("/guard", guards=[Shows()])
async def guarded(websocket: WebSocket) -> None: ...


@api.websocket("/number")
async def number(websocket: WebSocket, n: int) -> None: ...


_leaks = api.as_asgi()


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve the leaks beside the project."""
    if scope["type"] == "websocket":
        await _leaks(scope, receive, send)
    else:
        await served(scope, receive, send)
