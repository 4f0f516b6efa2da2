"""A server of each kind, that nothing else connects to."""

from collections.abc import Iterator

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Server


@pytest.fixture(scope="package", params=[DAPHNE, STOCK_DAPHNE, UVICORN], ids=str)
def observed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server of the project that is observed."""
    server = Server(
        request.param,
        "tests.live.figures.asgi:application",
        tmp_path_factory.mktemp("figures") / f"{request.param}.log",
        {"DJANGO_SETTINGS_MODULE": "tests.live.figures.settings"},
    )
    try:
        yield server
        server.stop()
    finally:
        server.kill()
