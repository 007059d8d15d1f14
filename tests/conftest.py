"""Settings of every run of the tests: what was imported is not gone through for garbage again."""

import gc
import os
import sys
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# How long a draw takes says how busy the machine is, and nothing of the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
gc.set_threshold(20_000, 20, 20)
# What one process compiles of ours, the dozens that the tests start need not compile again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# What dry runs foretell stays out of the user's own cache.
_cache = tempfile.TemporaryDirectory(prefix="fedbert-eval-tests-")
os.environ["FEDBERT_EVAL_CACHE"] = _cache.name


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules and tests stay to the end: the collector leaves them alone."""
    gc.collect()
    gc.freeze()
