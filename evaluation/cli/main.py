"""The command line: options in, one function called, text out. Heavy imports wait until needed."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from evaluation.cli.audit import audit
from evaluation.cli.shared import or_refuse, quiet
from fedbert.config import InputError

RUNS = Path("runs")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fedbert-privacy")
def cli() -> None:
    """How much does a federated BERT leak, to whom, and what did the protection cost?"""


@cli.command("privacy-utility")
@click.argument("grid", required=False, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Run directory [default: runs/NAME].")
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Cells side by side, in processes of one thread each.",
)
def privacy_utility(grid: Path | None, out: Path | None, workers: int) -> None:
    """Train, judge and attack every cell of GRID.

    GRID is a TOML file; the report puts utility beside leakage.

    Without GRID the embedded default runs. The same command continues an interrupted run.
    """
    from evaluation.grid.parse import default_grid, read_grid

    chosen = read_grid(grid or default_grid())
    directory = out or RUNS / chosen.name
    quiet()
    click.echo(f"grid {chosen.name}: {len(chosen.cells)} cells, into {directory}", err=True)
    from evaluation.cli.progress import GridProgress
    from evaluation.run.runner import checked, run_grid
    from evaluation.run.workers import Loop, Workers

    runner = Loop() if workers == 1 else Workers(workers)
    runner.call(checked, chosen)
    with GridProgress(workers) as progress:
        good = run_grid(chosen, directory, runner, progress.start, progress.record)
    _show(directory)
    if not good:
        raise SystemExit(1)


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Rebuild the report of RUN.

    Tables, figures and the HTML page, from the records alone.

    Where the scores of attacks are kept, their numbers are made again and must be the same.
    """
    from evaluation.run.verify import verify_run

    checked = or_refuse(lambda: verify_run(run))
    _show(run)
    if checked:
        click.echo(f"scores: {checked} membership numbers made again, all the same")


@cli.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=RUNS / "plots",
    show_default=True,
    help="Where the figures go.",
)
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Draw RUNS beside each other."""
    from reports.render import plot as draw

    for path in or_refuse(lambda: draw(list(runs), out)):
        click.echo(path)


@cli.command("list")
def list_() -> None:
    """List what a grid can name."""
    from rich.console import Console
    from rich.table import Table

    from evaluation.grid.catalogue import MECHANISMS
    from evaluation.grid.durations import FAMILIES, NOTE, told
    from fedbert.config import SIZES, STRATEGIES
    from fedbert.tasks import TASKS

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column)
    table.add_column("time per cell", no_wrap=True)
    for task in TASKS.values():
        table.add_row("task", task.name, f"{', '.join(task.columns)}; {', '.join(task.metrics)}")
    table.add_row("strategy", ", ".join(STRATEGIES), "how clients and server train")
    table.add_row(
        "model", ", ".join((*SIZES, "embedded")), "or a transformers directory, or a hub name"
    )
    for name, entry in MECHANISMS.items():
        table.add_row("mechanism", name, entry.summary)
    for family, entries in FAMILIES.items():
        for name, entry in entries.items():
            table.add_row(family, name, entry.summary, told(family, entry))
    console = Console(width=100)
    console.print(table)
    console.print(f"\n{NOTE}", highlight=False)


@cli.group()
def budget() -> None:
    """Privacy budgets, without training: noise, epsilon, claims."""


def _spending(function: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options that say what is released how often."""
    options = [
        click.option("--delta", type=float, required=True, help="Of the claim, between 0 and 1."),
        click.option("--releases", type=int, help="Of one unit, without sampling [default: 1]."),
        click.option("--sample-rate", type=float, help="DP-SGD: chance of a record at a step."),
        click.option("--steps", type=int, help="DP-SGD: how many."),
        click.option("--records", type=int, help="Of a client: warns of a delta too large."),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@budget.command("noise")
@click.option("--epsilon", type=float, required=True, help="The target.")
@_spending
@click.option("--clip-norm", type=float, default=1.0, show_default=True, help="The L2 clip.")
@click.option(
    "--accountant",
    type=click.Choice(["pld", "rdp", "prv"]),
    default="pld",
    show_default=True,
    help="For DP-SGD.",
)
@click.option(
    "--relation",
    type=click.Choice(["replace-one", "add-or-remove-one"]),
    help="Neighbours [default: replace-one; DP-SGD: add-or-remove-one].",
)
def budget_noise(
    epsilon: float,
    delta: float,
    clip_norm: float,
    accountant: Any,
    relation: str | None,
    **spent: Any,
) -> None:
    """The least noise for a target epsilon."""
    from evaluation.cli.budget_text import noise_lines

    releases, sampling = _sampling(spent)
    lines = noise_lines(
        epsilon, delta, clip_norm, releases, sampling, accountant, relation, spent["records"]
    )
    click.echo("\n".join(lines))


@budget.command("epsilon")
@click.option(
    "--noise-multiplier", type=float, required=True, help="Standard deviation over sensitivity."
)
@_spending
@click.option(
    "--accountant",
    type=click.Choice(["pld", "rdp", "prv"]),
    help="One alone [default: all, side by side].",
)
def budget_epsilon(noise_multiplier: float, delta: float, accountant: Any, **spent: Any) -> None:
    """The epsilon of a noise multiplier."""
    from evaluation.cli.budget_text import epsilon_lines

    releases, sampling = _sampling(spent)
    records = spent["records"]
    lines = epsilon_lines(noise_multiplier, delta, releases, sampling, accountant, records)
    click.echo("\n".join(lines))


@budget.command("views")
@click.argument("grid", type=click.Path(path_type=Path))
def budget_views(grid: Path) -> None:
    """What each view of every defence of GRID will be guaranteed.

    Loads data and models, as the number of releases depends on them.
    """
    quiet()
    from evaluation.cli.budget_text import view_lines

    for line in view_lines(grid):
        click.echo(line)


def _sampling(spent: dict[str, Any]) -> tuple[int | None, tuple[float, int] | None]:
    """Return the releases, or the sample rate and steps of DP-SGD."""
    releases, rate, steps = spent["releases"], spent["sample_rate"], spent["steps"]
    if rate is None and steps is None:
        return releases, None
    if rate is None or steps is None:
        raise InputError(f"expected both or none, got sample_rate={rate}, steps={steps}")
    if releases is not None:
        raise InputError(f"expected releases or steps, got releases={releases}, steps={steps}")
    return None, (rate, steps)


def _training_command(function: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options that pretrain and finetune share."""
    options = [
        click.argument("config", required=False, type=click.Path(path_type=Path)),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            required=True,
            help="Where the checkpoint goes.",
        ),
        click.option(
            "--every",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Save after so many rounds.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@cli.command()
@_training_command
def pretrain(config: Path | None, out: Path, every: int) -> None:
    """Pre-train by masked-LM over clients.

    CONFIG is a TOML file with [model], [data], [training] and [defence].

    The same command continues from the last saved round.
    """
    _train(config, out, every, pretraining=True)


@cli.command()
@_training_command
def finetune(config: Path | None, out: Path, every: int) -> None:
    """Fine-tune on a GLUE task over clients.

    CONFIG as for pretrain; [model] source may be the `model` folder of a checkpoint.
    """
    _train(config, out, every, pretraining=False)


def _train(config: Path | None, out: Path, every: int, pretraining: bool) -> None:
    quiet()
    from evaluation.run.training import read_training, run_training

    settings = read_training(config, pretraining)
    rounds = settings.config.training.rounds

    def say(round_: int, loss: float, left: float) -> None:
        click.echo(f"round {round_}/{rounds}: loss {loss:.4f}, about {left:.0f} s left", err=True)

    for line in run_training(settings, out, every, say):
        click.echo(line)


cli.add_command(audit)


def _show(directory: Path) -> None:
    """Render a run and print its tables and where they are."""
    from rich.console import Console

    from reports.render import render

    made = or_refuse(lambda: render(directory))
    console = Console(width=None if sys.stdout.isatty() else 100)
    for table in made.tables:
        console.print(table)
    click.echo(f"report: {directory / 'report.html'}")


def main() -> None:
    """Run the command line; exit code 2 and one line for bad input, 1 for failed cells."""
    try:
        code = cli.main(prog_name="fedbert-eval", standalone_mode=False)
    except InputError as error:
        click.echo(f"error: {' '.join(str(error).split())}", err=True)
        code = 2
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; the same command continues where this one ended", err=True)
        code = 130
    except BrokenPipeError:
        code = 141
    except OSError as error:
        click.echo(f"error: {error}", err=True)
        code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
