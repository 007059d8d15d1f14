"""`fedbert-eval export`: the folder of a trained model that can be handed over."""

from pathlib import Path

import click

from evaluation.cli.shared import FILE, quiet
from reports.terminal import say

HELD_BACK = (
    "not in it: who was trained on, hashes of the data, losses, clip shares, moments, seed, paths"
)


@click.command("export")
@click.argument("checkpoint", type=FILE)
@click.option("--out", type=FILE, required=True, help="A new folder, to hand over.")
def export(checkpoint: Path, out: Path) -> None:
    """Make the folder of CHECKPOINT to hand over.

    Model, tokenizer and what is claimed of them: nothing that no noise covers.

    transformers loads it, and `audit` takes it: claims by its manifest, membership by --members.
    """
    quiet()
    from evaluation.auditing.run_folder import refuse_run
    from fedbert.export import export as write
    from fedbert.pooling import FEDBERT_ALONE
    from fedbert.stopped import aside

    refuse_run(checkpoint)
    found = write(checkpoint, out)
    done, planned = found.manifest["round"], found.config.training.rounds
    for entry in found.manifest["guarantees"]:
        say(entry["sentence"])
    claims = [each for each in found.manifest["guarantees"] if each["kind"] == "guarantee"]
    if claims and found.config.noise == "repeatable":
        say("the noise is repeatable: whoever has seed and settings can take it off")
    if done < planned:
        stopped = aside(checkpoint.resolve().parent)
        say(f"round {done} of {planned}: the training was not finished{stopped}")
    if found.config.head_reads_mean:
        say(FEDBERT_ALONE)
    say(HELD_BACK)
    say(f"export: {out}")
