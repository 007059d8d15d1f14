"""Settings of every run of the tests: what was imported is not gone through for garbage again."""

import gc

import pytest

gc.set_threshold(20_000, 20, 20)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests stay to the end: the collector leaves them alone."""
    gc.collect()
    gc.freeze()
