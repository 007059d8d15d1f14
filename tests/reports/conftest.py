import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def examples() -> ModuleType:
    """The helper that builds records as a real run would leave them."""
    path = Path(__file__).with_name("examples.py")
    spec = importlib.util.spec_from_file_location("report_examples", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
