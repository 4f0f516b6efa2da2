"""The list of differences itself."""

from pathlib import Path

from tests.live.server import Server

from .differences import TABLE


def test_each_row_that_is_listed_is_tested(server: Server) -> None:
    sources = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    rows = TABLE.get(server.kind.name, {})
    assert [row for row in rows if f'"{row}"' not in sources] == []
    assert all(difference.told for difference in rows.values())
