"""The clusters of servers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.live.server import DAPHNE, STOCK_DAPHNE, UVICORN, Kind

from .cluster import Cluster

StartCluster = Callable[[str, int], AbstractContextManager[Cluster]]


@contextmanager
def started(layer: str, *kinds: Kind) -> Iterator[Cluster]:
    """Servers that one layer joins. Afterwards they stop, with clean logs."""
    # Not in tmp_path: the path of a Unix socket has 107 characters at most.
    with TemporaryDirectory() as folder:
        cluster = Cluster(layer, kinds, Path(folder))
        try:
            yield cluster
            cluster.stop()
        finally:
            cluster.kill()


@pytest.fixture
def start_cluster() -> StartCluster:
    """Start Daphne processes that one layer joins."""
    return lambda layer, processes: started(layer, *[DAPHNE] * processes)


@pytest.fixture(scope="module", params=["core", "pubsub"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Two of our Daphne, a stock one and a uvicorn, over each layer."""
    with started(request.param, DAPHNE, DAPHNE, STOCK_DAPHNE, UVICORN) as cluster:
        yield cluster
