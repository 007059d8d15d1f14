"""Structure of the product: sizes, parameter lists, circles, first lines."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGES = ("fedbert", "privacy", "attacks", "evaluation", "reports", "disk")
FILE_LINES, FUNCTION_LINES, PARAMETERS = 300, 60, 8
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[str, Path]:
    """The product's modules by their dotted names."""
    paths = (path for package in PACKAGES for path in Path(package).rglob("*.py"))
    return {".".join(p.with_suffix("").parts).removesuffix(".__init__"): p for p in sorted(paths)}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions() -> Iterator[tuple[str, Function]]:
    for path in modules().values():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, Function):
                yield f"{path}:{node.lineno} {node.name}", node


def imported(tree: ast.Module, known: frozenset[str]) -> set[str]:
    """The product's modules that a file imports anywhere, late or for types alone.

    >>> text = "def f():\\n    from a import b, c\\n    import d.e"
    >>> sorted(imported(ast.parse(text), frozenset({"a", "a.b", "d.e"})))
    ['a', 'a.b', 'd.e']
    """
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & known


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other.

    >>> circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}})
    [['b', 'c']]
    """
    reach = {name: set(ends) for name, ends in arrows.items()}
    for middle in reach:
        for ends in reach.values():
            if middle in ends:
                ends |= reach[middle]
    groups = {
        tuple(sorted(other for other in ends if name in reach.get(other, ())))
        for name, ends in reach.items()
        if name in ends
    }
    return sorted(map(list, groups))


def test_no_file_is_too_long() -> None:
    lengths = {str(p): len(p.read_text().splitlines()) for p in modules().values()}
    assert {name: n for name, n in lengths.items() if n > FILE_LINES} == {}


def test_no_function_is_too_long() -> None:
    lengths = {name: (node.end_lineno or 0) - node.lineno + 1 for name, node in functions()}
    assert {name: n for name, n in lengths.items() if n > FUNCTION_LINES} == {}


def test_no_parameter_list_is_too_long() -> None:
    """The receiver counts for nothing; *values and **values for one each."""
    found = {}
    for name, node in functions():
        every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        named = [arg.arg for arg in every if arg.arg not in ("self", "cls")]
        count = len(named) + (node.args.vararg is not None) + (node.args.kwarg is not None)
        if count > PARAMETERS:
            found[name] = count
    assert found == {}


def test_no_module_reaches_itself_by_its_imports_late_ones_included() -> None:
    known = frozenset(modules())
    arrows = {name: imported(tree_of(path), known) - {name} for name, path in modules().items()}
    assert sum(map(len, arrows.values())) > 500  # the scan sees them
    assert circles(arrows) == []


def test_every_module_begins_with_a_line_that_says_what_it_is() -> None:
    firsts = {
        str(p): (ast.get_docstring(tree_of(p)) or "").split("\n")[0] for p in modules().values()
    }
    assert [name for name, first in firsts.items() if not first.endswith((".", "?"))] == []
    bodies = [first for name, first in firsts.items() if not name.endswith("__init__.py")]
    assert len(bodies) == len(set(bodies))
