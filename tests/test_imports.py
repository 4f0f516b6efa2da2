"""Imports run one way (DESIGN.md section 4)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bolt_ws

PACKAGE = Path(bolt_ws.__file__).parent

# Whoever stands in a line knows nothing of the lines above, nor of its own.
LAYERS = [
    {"apps", "testing", "management", "__init__"},
    {"asgi", "prometheus"},
    {"daphne"},
    {"checks"},
    {"check_keys", "check_project"},
    {"check_endpoints"},
    {"discovery"},
    {"api"},
    {"applications"},
    {"defaults"},
    {"endpoint"},
    {"options"},
    {"routing"},
    {"consumer"},
    {"closing"},
    {"farewell", "hearing", "observing"},
    {"plan", "endings", "permit"},
    {"admission", "threads"},
    {"auth", "parameters"},
    {"limits", "origin"},
    {"client_address"},
    {"groups", "dependencies", "signatures"},
    {"sources"},
    {"annotations"},
    {"markers"},
    {"anywhere"},
    {"upkeep", "blocking", "disconnecting"},
    {"blocking_connection", "blocking_rooms", "offline_blocking"},
    {"bridge"},
    {"incoming"},
    {"registry"},
    {"bounded"},
    {"websocket"},
    {"offline", "offline_rooms"},
    {"messaging", "background"},
    {"member", "peers", "requests", "values"},
    {"answers", "rooms"},
    {"connection", "denial", "messages", "outbox"},
    {"read_ahead", "steps"},
    {"progress"},
    {"handshake"},
    {"gate", "reader"},
    {"bounds"},
    {"databases", "scopes", "shutdown", "users"},
    {"transports"},
    {"servers", "context", "exceptions", "conf", "redaction", "urls"},
    {"logs", "metrics", "signals"},
    {"states", "status", "lending", "ticker", "interruption", "while_open", "in_place", "sockets"},
]
RANKS = {name: rank for rank, names in enumerate(LAYERS) for name in names}
MAX_LINES = 300


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit(path: Path) -> str:
    """The name that stands in DESIGN.md: a module or a package of `bolt_ws`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield all imports, but for those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        yield from statements(node)


def imported(path: Path) -> Iterator[str]:
    """Yield the units of bolt_ws that a module imports."""
    package = ("bolt_ws", *path.relative_to(PACKAGE).parent.parts)
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            assert isinstance(node, ast.ImportFrom)
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "bolt_ws":
                yield parts[1] if len(parts) > 1 and parts[1] in RANKS else "__init__"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_what_is_below_it(path: Path) -> None:
    name = unit(path)
    assert name in RANKS, f"say in tests/test_imports.py where {name} stands"
    upward = [other for other in imported(path) if other != name and RANKS[other] <= RANKS[name]]
    assert upward == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_not_two(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_every_module_is_read() -> None:
    read = {unit(path): set(imported(path)) for path in modules()}
    assert {"endpoint", "routing"} <= read["api"]
    assert "states" in read["connection"]
