"""Where a task or a thread stands, for the messages of failed tests."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = str(Path(__file__).parents[1])
_MACHINERY = (
    "/asyncio/",
    "/asgiref/",
    "/channels/",
    "/concurrent/futures/",
    "/contextlib.py",
    "/threading.py",
)


class LeftBehind(AssertionError):
    """A connection has ended, or was to end, and something of it goes on."""


def stack_of_task(task: asyncio.Task[Any]) -> str:
    """Return where `task` waits, as a traceback shows it: the lines that are not ours, if any."""
    return _format(_frames_of(task.get_coro()))


def stack_of_thread(ident: int | None, inside: Callable[..., Any] | None = None) -> str:
    """Return where a thread stands, as a traceback shows it: what runs `inside` a function."""
    frame = sys._current_frames().get(ident or 0)
    if frame is None:
        return "  (the thread has ended)\n"
    frames = []
    for each, number in traceback.walk_stack(frame):
        if inside is not None and each.f_code is inside.__code__:
            break
        frames.append((each, number))
    return _format(frames[::-1])


def _frames_of(awaited: Any) -> list[tuple[FrameType, int]]:
    frames = []
    while awaited is not None:
        for prefix in ("cr", "ag", "gi"):  # coroutine, async generator, generator
            frame = getattr(awaited, f"{prefix}_frame", None)
            if frame is not None:
                frames.append((frame, frame.f_lineno))
                awaited = getattr(
                    awaited, "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await", None
                )
                break
        else:
            break
    return frames


def _format(frames: list[tuple[FrameType, int]]) -> str:
    summary = traceback.StackSummary.extract(iter(frames))
    theirs = [each for each in summary if not _is_inside(each.filename)]
    return "".join(traceback.format_list(theirs or list(summary))) or "  (nowhere yet)\n"


def _is_inside(filename: str) -> bool:
    """Tell whether a file is of this package, or of what runs it."""
    return filename.startswith(_PACKAGE) or any(part in filename for part in _MACHINERY)
