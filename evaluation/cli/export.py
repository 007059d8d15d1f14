"""`fedbert-eval export`: the folder of a trained model that can be handed over."""

from pathlib import Path

import click

from evaluation.cli.shared import FILE, QUIET, examples, quiet
from fedbert.errors import InputError
from reports.terminal import hush, say, working


@click.command("export", epilog=examples("export ft --out handed-over"))
@click.argument("checkpoint", type=FILE)
@click.option("--out", type=FILE, required=True, help="A new folder, to hand over.")
@QUIET
def export(checkpoint: Path, out: Path, silent: bool) -> None:
    """Make the folder of CHECKPOINT to hand over.

    Model, tokenizer and what is claimed of them: nothing that no noise covers. README.md is a model
    card with the claims in it.

    transformers loads it, and `audit` takes it: claims by its manifest, membership by --members.
    """
    hush(silent)
    quiet()
    with working(f"looking at {checkpoint}"):
        from evaluation.auditing.run_folder import checkpoint_of

        if checkpoint.is_dir():
            checkpoint = checkpoint_of(checkpoint)
        if out.is_file() or (out.is_dir() and any(out.iterdir())):
            raise InputError(f"expected a new or an empty folder, got --out {out}")
    with working("loading the checkpoint"):
        from fedbert.export import export as write
        from fedbert.model_card import LEFT_OUT, REPEATABLE
        from fedbert.pooling import FEDBERT_ALONE
        from fedbert.stopped import aside
        from reports.noise_mode import CLAIMS

        found = write(checkpoint, out)
    done, planned = found.manifest["round"], found.config.training.rounds
    for entry in found.manifest["guarantees"]:
        say(entry["sentence"])
    claimed = any(each["kind"] in CLAIMS for each in found.manifest["guarantees"])
    if claimed and found.config.noise == "repeatable":
        say(REPEATABLE)
    if done < planned:
        stopped = aside(checkpoint.resolve().parent)
        say(f"round {done} of {planned}: the training was not finished{stopped}")
    if found.config.head_reads_mean:
        say(FEDBERT_ALONE)
    say(f"not in it: {LEFT_OUT}")
    say(f"export: {out}")
