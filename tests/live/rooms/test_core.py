"""A crowd over `channels_redis.core.RedisChannelLayer`."""

import pytest

from .conftest import StartCluster
from .story import tell


@pytest.mark.parametrize("processes", [2, 4])
async def test_a_crowd(start_cluster: StartCluster, processes: int) -> None:
    with start_cluster("core", processes) as cluster:
        await tell(cluster)
