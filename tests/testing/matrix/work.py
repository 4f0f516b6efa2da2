"""What a test and each kind of user's code do with the database, and what they report of it."""

from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.db import connection

from .models import Note

_connections: list[Any] = []
"""All there have been. They are kept, because `id` says the same of two that never met."""


class Link(NamedTuple):
    """What a query went through: which connection of the process, and which one of the server."""

    number: int
    backend: int | None


class Work(NamedTuple):
    """What one piece of code saw in the table, before it wrote its name, and through what."""

    name: str
    seen: list[str]
    link: Link


def link() -> Link:
    """Run a query and return what it went through."""
    backend = None
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_backend_pid()")
            (backend,) = cursor.fetchone()
        else:
            cursor.execute("SELECT 1")
    raw = connection.connection
    if not any(raw is known for known in _connections):
        _connections.append(raw)
    return Link(next(i for i, known in enumerate(_connections) if known is raw), backend)


def texts() -> list[str]:
    """Return what is in the table."""
    return [note.text for note in Note.objects.order_by("pk")]


async def atexts() -> list[str]:
    """Return what is in the table, by the asynchronous ORM."""
    return [note.text async for note in Note.objects.order_by("pk")]


def work(name: str) -> Work:
    """Read and write."""
    seen = texts()
    note = Note.objects.create(text=name)
    assert Note.objects.get(pk=note.pk).text == name
    return Work(name, seen, link())


async def awork(name: str) -> Work:
    """Read and write, by the asynchronous ORM."""
    seen = await atexts()
    note = await Note.objects.acreate(text=name)
    assert (await Note.objects.aget(pk=note.pk)).text == name
    return Work(name, seen, await sync_to_async(link)())
