"""Steps that hang or fail, credentials that expire meanwhile, clients that do not wait."""

from __future__ import annotations

import asyncio
import time

from tests.hostile.table import Bad, HandshakeClass
from tests.hostile.tokens import token
from tests.hostile.wire import Attempt, at
from tests.support import Connection

SHORT = {"ADMISSION_TIMEOUT": 0.05}
"""A deadline in seconds, shorter than what is slow."""


def guard(answer: str, path: str = "/guard") -> Attempt:
    return at(path, f"guard={answer}")


def depending(answer: str) -> Attempt:
    return at("/depends", f"dependency={answer}")


def backend(answer: str) -> Attempt:
    return at("/backend", f"backend={answer}")


def expiring(seconds: float, answer: str) -> Attempt:
    made = token(exp=int(time.time() + seconds))
    return at("/guard/expiring", f"guard={answer}&token={made}", secrets=(made,))


async def leave(connection: Connection) -> None:
    """The client is gone while its handshake is looked at."""
    await asyncio.sleep(0)
    connection.leave()


async def vanish(connection: Connection) -> None:
    """The same, and the server says so of each message to it."""

    async def fail(event: object) -> None:
        raise ConnectionResetError("gone")

    connection.on_send = fail
    await leave(connection)


async def cancel(connection: Connection) -> None:
    """The server stops while a handshake is looked at."""
    await asyncio.sleep(0.01)
    assert connection.task is not None
    connection.task.cancel()


CLASSES = (
    HandshakeClass(
        name="deadline",
        good=lambda: guard("slow", "/guard"),
        status=503,
        code="admission_timeout",
        settings={"ADMISSION_TIMEOUT": 2.0},
        rows={
            "a guard that hangs": Bad(build=lambda: guard("hangs"), settings=SHORT),
            "a guard that is slow": Bad(build=lambda: guard("slow"), settings=SHORT, is_live=False),
            "a guard that hangs behind ~": Bad(
                build=lambda: at("/guard/not", "guard=hangs&backend=identity"), settings=SHORT
            ),
            "a backend that hangs": Bad(build=lambda: backend("hangs"), settings=SHORT),
            "a backend and a guard, slow together": Bad(
                build=lambda: at("/guard/and", "guard=slow&backend=slow"),
                settings={"ADMISSION_TIMEOUT": 0.4},
                is_live=False,
            ),
            "a guard that blocks its thread": Bad(
                build=lambda: guard("blocks", "/guard/thread"), settings=SHORT, is_live=False
            ),
            "a dependency that hangs": Bad(build=lambda: depending("hangs"), settings=SHORT),
        },
    ),
    HandshakeClass(
        name="client that does not wait",
        good=lambda: guard("true"),
        status=503,
        code="admission_timeout",
        settings=SHORT,
        rows={
            "it leaves": Bad(build=lambda: guard("hangs"), during=leave),
            "it vanishes": Bad(build=lambda: guard("hangs"), during=vanish, is_heard=False),
        },
    ),
    HandshakeClass(
        name="server that stops",
        good=lambda: guard("slow"),
        status=503,
        code="shutting_down",
        rows={
            "in a guard": Bad(
                build=lambda: guard("hangs"), during=cancel, raises=asyncio.CancelledError
            ),
            "in a backend": Bad(
                build=lambda: backend("hangs"), during=cancel, raises=asyncio.CancelledError
            ),
            "in a dependency": Bad(
                build=lambda: depending("hangs"), during=cancel, raises=asyncio.CancelledError
            ),
        },
    ),
    HandshakeClass(
        name="token that expires meanwhile",
        good=lambda: expiring(60, "slow"),
        code="token_expired",
        is_live=False,  # its deadline is shorter than a second
        rows={
            "in a guard": lambda: expiring(1.2, "expires"),
        },
    ),
    HandshakeClass(
        name="dependency that fails",
        good=lambda: depending(""),
        status=500,
        code="internal_error",
        rows={
            # A fault of the project's in its own code is its server's to report.
            "LookupError": Bad(build=lambda: depending("lookup-error"), raises=LookupError),
            "a group": Bad(build=lambda: depending("group"), raises=ExceptionGroup),
            "PermissionDenied": Bad(
                build=lambda: depending("permission-denied"), status=403, code="permission_denied"
            ),
            "Http404": Bad(build=lambda: depending("http404"), status=404, code="not_found"),
            "AuthenticationFailed": Bad(
                build=lambda: depending("failed"), status=401, code="authentication_failed"
            ),
            "WebSocketException": Bad(
                build=lambda: depending("close-4001"), status=403, code="rejected", close=4001
            ),
        },
    ),
)
