"""A file server for the tests of downloads."""

from collections.abc import Iterator

import pytest

from fetch_server import Server, serving


@pytest.fixture(scope="session")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    """Give a server without files."""
    shared.places.clear()
    shared.asked.clear()
    return shared
