"""What a server serves: the endpoints under attack, and once more with `refuse="close"`."""

from bolt_ws import BoltAPI, WebSocket
from tests.hostile.api import make_api, withdraw_credentials

api = BoltAPI()
closing = BoltAPI("/closing", refuse="close")
closing.include(make_api())
api.include(make_api())
api.include(closing)

withdraw_credentials()


@api.websocket("/echo", origins=["*"])
async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)
