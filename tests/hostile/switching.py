"""How to switch off one check of the pipeline."""

from __future__ import annotations
import __future__

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from typing import Any

import pytest

Off = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Check:
    """A check, how to switch it off, and the rows that it keeps out.

    Without it they are let in, or, where `lets_in` is False, refused by chance: by another check,
    with another status.
    """

    name: str
    off: Off
    rows: tuple[str, ...]
    lets_in: bool = True


def edited(where: str, *edits: tuple[str, str]) -> Off:
    """Have a function of `module:name` with other words in its source."""

    def off(patches: pytest.MonkeyPatch) -> None:
        module_name, _, path = where.partition(":")
        module = import_module(module_name)
        *outer, name = path.split(".")
        owner: Any = reduce(getattr, outer, module)
        original = inspect.getattr_static(owner, name)
        source = textwrap.dedent(inspect.getsource(getattr(original, "__func__", original)))
        for old, new in edits:
            assert source.count(old) == 1, f"{where} has no {old!r}: what switches its check off?"
            source = source.replace(old, new)
        flags = __future__.annotations.compiler_flag
        names: dict[str, Any] = {}
        exec(compile(source, where, "exec", flags, dont_inherit=True), vars(module), names)
        if outer:
            patches.setattr(owner, name, names[name])
            return
        for each in [each for key, each in sys.modules.items() if key.startswith("bolt_ws")]:
            if vars(each).get(name) is original:  # imported by its name
                patches.setattr(each, name, names[name])

    return off


def replaced(owner: Any, name: str, new: Any) -> Off:
    """Have another attribute."""
    return lambda patches: patches.setattr(owner, name, new)


def nothing(*args: Any, **kwargs: Any) -> None:
    """Check nothing."""
