"""A block, made into an API: its substitutions applied, executed in a namespace of its own."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from bolt_ws import BlockingWebSocket, BoltAPI, WebSocket

from .pages import Block, read_blocks
from .substitutions import (
    Completed,
    Deferred,
    Follows,
    Given,
    Wrapped,
    replacements_of,
    substitutions_of,
)


class UnusedSubstitution(Exception):
    """The table says something of a block that is not so."""


@dataclass(frozen=True)
class Loaded:
    """A block that ran. `namespace` is what it left behind, `api` is to be served."""

    api: BoltAPI
    namespace: dict[str, Any]


def load(block: Block) -> Loaded:
    """Execute a block. Raises `UnusedSubstitution`, and whatever the block raises."""
    namespace: dict[str, Any] = {"__name__": f"{block.page}, line {block.line}"}
    source, first_line = _replace(block), block.line + 1
    substitutions = substitutions_of(block.key)
    followed: tuple[Follows, BoltAPI] | None = None
    wrapped = next((each for each in substitutions if isinstance(each, Wrapped)), None)
    for each in substitutions:
        match each:
            case Follows():
                first, *others = (load(read_blocks()[block.page, line]) for line in each.earlier)
                for other in others:
                    first.api.include(other.api)
                namespace = {**first.namespace, "__name__": namespace["__name__"]}
                followed = each, first.api
            case Given():
                _check_given(each, source, is_wrapped=wrapped is not None)
                exec(each.code, namespace)
            case Completed():
                _check_completed(each, source)
                source += each.code
            case Deferred():
                source = f"def {each.name}():\n{textwrap.indent(source, '    ')}"
                first_line -= 1
    # Padded, so that a traceback names the lines of the page.
    tree = ast.parse("\n" * (first_line - 1) + source, f"{block.page}.md")
    if wrapped is not None:
        return Loaded(_wrap(wrapped, tree, namespace), namespace)
    exec(compile(tree, f"{block.page}.md", "exec"), namespace)
    apis = [value for value in namespace.values() if isinstance(value, BoltAPI)]
    assert len(apis) == 1, f"{block.key} makes {len(apis)} APIs"
    if followed is not None and apis[0] is not followed[1]:  # the block makes one itself
        raise UnusedSubstitution(followed[0])
    return Loaded(apis[0], namespace)


def _replace(block: Block) -> str:
    lines = block.source.splitlines(keepends=True)
    for each in replacements_of(block.page, block.lines):
        index = each.line - block.line - 1
        if each.old not in lines[index]:
            raise UnusedSubstitution(each)
        lines[index] = lines[index].replace(each.old, each.new)
    return "".join(lines)


def _wrap(wrapped: Wrapped, tree: ast.Module, namespace: dict[str, Any]) -> BoltAPI:
    then = ast.parse(wrapped.then)
    if wrapped.name not in {*_loaded(tree), *_loaded(then)} - set(_bound(tree)):
        raise UnusedSubstitution(wrapped)

    def compile_body(statements: list[ast.stmt]) -> CodeType:
        body = ast.Module([*statements, *then.body], [])
        name = f"{wrapped.page}.md"
        code: CodeType = compile(body, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        return code

    def run(code: CodeType, websocket: WebSocket | BlockingWebSocket) -> Any:
        return eval(code, {**namespace, wrapped.name: websocket})

    def serve(path: str, code: CodeType) -> None:
        async def body(websocket: WebSocket) -> None:
            await websocket.accept()
            result = run(code, websocket)
            if inspect.isawaitable(result):
                await result

        def blocking_body(websocket: BlockingWebSocket) -> None:
            websocket.accept()
            run(code, websocket)

        declare = getattr(api, wrapped.decorator)
        declare(path)(blocking_body if wrapped.is_blocking else body)

    imports = [each for each in tree.body if isinstance(each, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(imports, []), f"{wrapped.page}.md", "exec"), namespace)
    statements = [each for each in tree.body if each not in imports]
    api = BoltAPI()
    serve("/", compile_body(statements))
    for number, each in enumerate(statements):
        serve(f"/{number}", compile_body([each]))
    return api


def _check_given(given: Given, source: str, is_wrapped: bool) -> None:
    code = ast.parse(given.code)
    try:
        block = ast.parse(source)
    except SyntaxError:  # a bare decorator, whose first name is all that it reads
        block = ast.parse(source.strip().removeprefix("@"))
    used = {*_loaded(code), *_loaded(block)}
    if not is_wrapped:  # where each statement stands alone, what the others bind is missing
        used -= set(_bound(block))
    for name in _bound(code):
        if name not in used:
            raise UnusedSubstitution(given, name)


def _check_completed(completed: Completed, source: str) -> None:
    try:
        block = ast.parse(source)
    except SyntaxError:
        return  # a bare decorator
    if not set(_loaded(ast.parse(completed.code))) & set(_bound(block)):
        raise UnusedSubstitution(completed)


def _loaded(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the code reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield the names that the code makes on its top level."""
    for node in tree.body:
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from (each.asname or each.name for each in names)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (each.id for each in targets if isinstance(each, ast.Name))
