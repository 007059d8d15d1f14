"""HTML pages from templates: everything escaped, and a policy under which nothing else runs.

The policy allows the page's own style and script, by their hashes, and pictures within the page;
nothing is loaded. It stands before anything that it speaks of, and holds also for what an error of
ours would let through.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined


def html(name: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Return the page of `templates/NAME.html.j2` in the style of `templates/NAME.css`.

    With the script `templates/NAME.js`, where there is one.
    """
    folder = resources.files("reports") / "templates"
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    style = (folder / f"{name}.css").read_text("utf-8")
    path = folder / f"{name}.js"
    script = path.read_text("utf-8") if path.is_file() else ""
    template = environment.from_string((folder / f"{name}.html.j2").read_text("utf-8"))
    return template.render(style=style, script=script, policy=policy(style, script), **values)


def policy(style: str, script: str = "") -> str:
    """Return the Content-Security-Policy of a page with this style, and this script if any.

    >>> policy("").partition(" style-src ")[0]
    "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:;"
    """
    told = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; "
        f"style-src {_digest(style)}"
    )
    return f"{told}; script-src {_digest(script)}" if script else told


def _digest(text: str) -> str:
    """Return the source expression of a text by its hash."""
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"
