"""HTML pages from templates: everything escaped, and a policy under which nothing runs or loads.

The policy allows the page's own style, by its hash, and pictures within the page. It stands before
anything that it speaks of, and holds also for what an error of ours would let through.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined


def html(name: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Return the page of `templates/NAME.html.j2` in the style of `templates/NAME.css`."""
    folder = resources.files("reports") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    style = (folder / f"{name}.css").read_text("utf-8")
    template = environment.from_string((folder / f"{name}.html.j2").read_text("utf-8"))
    return template.render(style=style, policy=policy(style), **values)


def policy(style: str) -> str:
    """Return the Content-Security-Policy of a page with this style.

    >>> policy("").partition(" style-src ")[0]
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
    """
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src 'sha256-{digest}'"
    )
