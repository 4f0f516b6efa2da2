"""The endpoints that are observed, and receivers of the signals."""

import logging
import threading
from collections import Counter
from typing import Any

from django.dispatch import receiver

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket
from bolt_ws.auth import JWTAuthentication
from bolt_ws.signals import websocket_connected, websocket_disconnected, websocket_refused

api = BoltAPI()
logger = logging.getLogger("shop")

told: Counter[str] = Counter()
"""How often a signal was sent, by its name, the endpoint and the code."""
_lock = threading.Lock()


@api.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.send_text(websocket.id)
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@api.websocket("/blocking")
def blocking(websocket: BlockingWebSocket) -> None:
    websocket.send_text(websocket.id)
    for text in websocket.iter_text():
        websocket.send_text(text)


@api.websocket("/members", auth=[JWTAuthentication()])
async def members(websocket: WebSocket) -> None:
    await websocket.send_text(websocket.id)
    logger.info("hello")
    await websocket.receive_text()


@api.websocket("/chat")
async def chat(websocket: WebSocket) -> None:
    room = await websocket.join("chat")
    await websocket.send_text(websocket.id)
    async for text in websocket.iter_text():
        await room.send_text(text)


@api.websocket("/fails")
async def fails(websocket: WebSocket) -> None:
    await websocket.send_text(websocket.id)
    await websocket.receive_text()
    raise LookupError("no such thing")


def _count(name: str, sender: Any, code: object) -> None:
    with _lock:
        told[f"{name} {getattr(sender, 'name', None)} {code}"] += 1


@receiver(websocket_connected)
def connected(sender: Any, **named: Any) -> None:
    _count("connected", sender, None)


@receiver(websocket_disconnected)
async def disconnected(sender: Any, code: int, **named: Any) -> None:
    _count("disconnected", sender, code)


@receiver(websocket_refused)
def refused(sender: Any, refusal: Any, **named: Any) -> None:
    _count("refused", sender, refusal.code)
