"""Engines that run cells, as the command line names them: processes of this machine, or Ray."""

from typing import TYPE_CHECKING, Any

import click

from fedbert.errors import InputError

if TYPE_CHECKING:
    from evaluation.run.on_ray.engine import Ray
    from evaluation.run.workers import CellRunner
PROCESSES, RAY = "processes", "ray"
OF_RAY = ("address", "cpus_per_cell", "gpus_per_cell")
ENGINE = [
    click.option(
        "--engine",
        type=click.Choice((PROCESSES, RAY)),
        default=PROCESSES,
        show_default=True,
        help="What runs cells.",
    ),
    click.option(
        "--address",
        help="Of Ray: local (a cluster of this machine's), auto or HOST:PORT [default: local].",
    ),
    click.option(
        "--cpus-per-cell",
        type=click.FloatRange(0, min_open=True),
        help="Of Ray: what a cell asks for [default: 1].",
    ),
    click.option(
        "--gpus-per-cell",
        type=click.FloatRange(0),
        help="Of Ray: what a cell asks for, such as 0.25 [default: 0].",
    ),
]
"""Options of the commands that run grids."""


def ray_of(workers: int, asked: dict[str, Any]) -> "Ray | None":
    """Return Ray where it is asked for; of a cluster that is there, all that there is room for.

    workers: how many cells side by side; the default stands for that room.

    Raises:
        InputError: for settings of Ray without it, or where it is not installed.
    """
    if asked["engine"] != RAY:
        for name in OF_RAY:
            if asked[name] is not None:
                option = f"--{name.replace('_', '-')}"
                raise InputError(f"expected {option} with --engine ray, got it without")
        return None
    from evaluation.run.on_ray.engine import LOCAL, Ray, RaySettings

    address = asked["address"] or LOCAL
    source = click.get_current_context().get_parameter_source("workers")
    unsaid = source is click.core.ParameterSource.DEFAULT and address != LOCAL
    cpus, gpus = asked["cpus_per_cell"] or 1.0, asked["gpus_per_cell"] or 0.0
    return Ray(RaySettings(address, None if unsaid else workers, cpus, gpus))


def engine_of(workers: int, asked: dict[str, Any]) -> "CellRunner":
    """Return what runs a grid's cells; nothing is started yet.

    Raises:
        InputError: as `ray_of`.
    """
    from evaluation.run.workers import Loop, Workers

    return ray_of(workers, asked) or (Loop() if workers == 1 else Workers(workers))


def with_limit(runner: "CellRunner", limit: float | None) -> "CellRunner":
    """Return what can hold cells to a limit of their seconds, where there is one."""
    from evaluation.run.workers import Loop, Workers

    return Workers(1) if limit is not None and isinstance(runner, Loop) else runner
