"""Where randomness is drawn: a scan for noise that does not come from `privacy.randomness`.

In `privacy` nothing else draws. In `fedbert` what is drawn from seeds is named by its label, and no
guarantee rests on those of training; every other label, or one that is not spelt out, is noise.
"""

import ast
from pathlib import Path

import pytest

ROOM = Path("privacy/randomness")
SEEDED = {"generator", "numpy_rng", "derive", "scoped"}
TORCH = {
    *("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like"),
    *("normal", "bernoulli", "multinomial", "poisson", "_standard_gamma"),
}
IN_PLACE = {
    *("normal_", "uniform_", "bernoulli_", "random_", "exponential_", "geometric_", "cauchy_"),
    *("log_normal_", "trunc_normal_"),
}
MODULES = {"random", "secrets", "numpy.random", "torch.random", "torch.distributions"}
TRAINING_LABELS = {
    *("init", "bottom", "body", "head", "data", "mask"),  # weights, dropout, order, masked words
    *("pool", "members", "partition", "transcript"),  # who is in; which messages are kept
    "faults",  # which clients are lost: simulated, as the partition
}
TYPES = {"np.random", "torch.Generator"}  # as a parameter, in files that are handed a generator
TRAINING_FILES = ("fedbert/data/", "fedbert/seeding.py", "fedbert/stacked.py")
NAMING_FILES = ("fedbert/run_key.py", "fedbert/disk/writer.py")
"""A key for a hash, and the names of drafts: from the operating system, and no noise."""


def drawn(tree: ast.AST) -> set[str]:
    """Return what a module draws by torch's or numpy's own generators."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names} & MODULES
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{each.name}" for each in node.names} | {str(node.module)}
            found |= names & (MODULES | {f"torch.{name}" for name in TORCH})
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if name in {"np.random", "numpy.random", "os.urandom", "torch.Generator"}:
                found.add(name)
            elif node.attr in IN_PLACE or name in {f"torch.{each}" for each in TORCH}:
                found.add(node.attr)
    return found


def seeded(tree: ast.AST) -> set[str]:
    """Return the labels of seeded draws that are not those of training."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in SEEDED:
            continue
        label = node.args[1] if len(node.args) > 1 else None
        name = str(label.value) if isinstance(label, ast.Constant) else ast.unparse(node)
        if name not in TRAINING_LABELS:
            found.add(name)
    return found


def noise_in(path: str, text: str) -> set[str]:
    """Return what a file draws that a guarantee may rest on."""
    tree = ast.parse(text)
    if path.startswith("privacy/"):
        return drawn(tree)
    if path == "fedbert/seeding.py":
        return set()
    if path in NAMING_FILES:
        return (drawn(tree) - {"secrets", "os.urandom"}) | seeded(tree)
    taken = set() if path.startswith(TRAINING_FILES) else drawn(tree) - TYPES
    return taken | seeded(tree)


def test_nothing_else_draws_noise() -> None:
    paths = sorted(p for name in ("privacy", "fedbert") for p in Path(name).rglob("*.py"))
    assert len(paths) > 50
    found = {
        p.as_posix(): noise_in(p.as_posix(), p.read_text()) for p in paths if ROOM not in p.parents
    }
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("privacy/a.py", "noise = torch.randn(3, generator=g)", {"randn"}),
        ("privacy/a.py", "def f(rng: np.random.Generator): ...", {"np.random"}),
        ("privacy/a.py", "def f(generator: torch.Generator): ...", {"torch.Generator"}),
        ("privacy/a.py", "import random", {"random"}),
        ("privacy/a.py", "from torch import randn", {"torch.randn"}),
        ("privacy/a.py", "from numpy.random import default_rng", {"numpy.random"}),
        ("privacy/a.py", "buffer.normal_(0.0, 1.0)", {"normal_"}),
        ("privacy/a.py", "draws.gaussian((3,)); draws.permutation(4)", set()),
        ("fedbert/a.py", "generator(seed, 'noise', 1)", {"noise"}),
        ("fedbert/a.py", "numpy_rng(self.seed, 'poisson', step).random(3)", {"poisson"}),
        ("fedbert/a.py", "generator(seed, *label)", {"generator(seed, *label)"}),
        ("fedbert/a.py", "torch.randperm(3)", {"randperm"}),
        ("fedbert/a.py", "generator(seed, 'data', 1); scoped(seed, 'init')", set()),
    ],
)
def test_the_scan_finds_what_it_should(path: str, text: str, expected: set[str]) -> None:
    assert noise_in(path, text) == expected
