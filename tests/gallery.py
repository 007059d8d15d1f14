"""Gallery of figures, made from the committed results: `python -m tests.gallery`."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from reports.plots.catalogue import FIGURES

DOCUMENT, FOLDER = Path("docs/gallery.md"), Path("docs/gallery")
RESULTS = "docs/results"


@dataclass(frozen=True)
class Made:
    """One command, and the figures of its that are shown: kind and file. out: within the folder."""

    runs: tuple[str, ...]
    out: str
    shown: tuple[tuple[str, str], ...]

    @property
    def command(self) -> list[str]:
        """The arguments after `fedbert-eval`."""
        kinds = ",".join(dict.fromkeys(kind for kind, _ in self.shown))
        runs = [f"{RESULTS}/{run}" for run in self.runs]
        return ["plot", *runs, "--figure", kinds, "--out", f"{FOLDER}/{self.out}"]


GALLERY = (
    Made(
        ("one-message-sst2",),
        "one-message-sst2",
        (
            ("utility", "utility-membership-sst2"),
            ("frontier", "frontier-sst2"),
            ("roc", "roc-sst2"),
            ("cost", "cost-sst2"),
            ("partition", "partition-sst2"),
            ("ranking", "ranking-sst2"),
        ),
    ),
    Made(("privacy-sst2",), "privacy-sst2", (("epsilon", "epsilon-sst2"), ("views", "views-sst2"))),
    Made(("cut-depth",), "cut-depth", (("depth", "depth-sst2"),)),
    Made(("language-prior",), "language-prior", (("classes", "classes-sst2"),)),
    Made(
        ("watched-generated",),
        "watched-generated",
        (("claims", "claims-sst2"), ("training", "training-sst2")),
    ),
    Made(("watched-generated/training",), "training", (("training", "training-sst2"),)),
    Made(
        ("one-message-sst2", "dp-at-scale-sst2/dp-sgd-head"),
        "together",
        (("utility", "compare-sst2-membership"),),
    ),
)


def path_of(made: Made, name: str) -> Path:
    """Where a figure lies."""
    return FOLDER / made.out / f"{name}.svg"


def document() -> str:
    """The text of the gallery."""
    lines = [
        "# Gallery",
        "",
        "Every figure of `fedbert-eval plot`, from the committed [results](results/README.md). "
        "`python -m tests.gallery` draws",
        "them again. Each is 84 mm wide with text of 8 points, and tells what it shows in words to "
        "a screen reader. Records of",
        "these runs hold no scores, so that ROC curves show what the records state at two rates; "
        "where a run's `scores/` are",
        "there, whole curves are drawn.",
        "",
    ]
    for made in GALLERY:
        lines += ["```", f"fedbert-eval {' '.join(made.command)}", "```", ""]
        for kind, name in made.shown:
            path = path_of(made, name).relative_to("docs")
            title = f"{' and '.join(made.runs)}: {FIGURES[kind].shows}"
            lines += [f"**{kind}.** {title[0].upper()}{title[1:]}.", "", f"![{kind}]({path})", ""]
    return "\n".join(lines)


def main() -> None:
    """Draw every figure again, and write the document."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    for made in GALLERY:
        subprocess.run([sys.executable, "-m", "evaluation.cli.main", *made.command], check=True)
        kept = {path_of(made, name) for _, name in made.shown}
        for path in (FOLDER / made.out).iterdir():
            if path not in kept:
                path.unlink()
    DOCUMENT.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
