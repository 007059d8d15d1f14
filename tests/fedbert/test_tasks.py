"""The task table: what GLUE says, and that listing it costs nothing."""

import subprocess
import sys

import pytest

from fedbert.tasks import TASKS

GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def test_every_glue_task_and_masked_lm_is_there() -> None:
    assert tuple(TASKS) == (*GLUE, "mlm")
    assert all(name == task.name for name, task in TASKS.items())


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("cola", ("matthews",)),
        ("sst2", ("accuracy",)),
        ("mrpc", ("f1", "accuracy")),
        ("stsb", ("pearson", "spearman")),
        ("qqp", ("f1", "accuracy")),
        ("mnli", ("accuracy",)),
        ("qnli", ("accuracy",)),
        ("rte", ("accuracy",)),
        ("wnli", ("accuracy",)),
    ],
)
def test_metrics_are_the_official_ones(name: str, metrics: tuple[str, ...]) -> None:
    assert TASKS[name].metrics == metrics


def test_label_numbers_are_the_hubs() -> None:
    assert TASKS["mnli"].label_names == ("entailment", "neutral", "contradiction")
    assert TASKS["qnli"].label_names == TASKS["rte"].label_names == ("entailment", "not_entailment")
    assert TASKS["wnli"].label_names == ("not_entailment", "entailment")
    assert TASKS["cola"].label_names[1] == "acceptable"
    assert TASKS["sst2"].label_names[1] == "positive"
    assert TASKS["qqp"].label_names[1] == "duplicate"
    assert TASKS["mrpc"].label_names[1] == "equivalent"


def test_head_sizes() -> None:
    sizes = {name: task.num_labels for name, task in TASKS.items()}
    assert sizes["stsb"] == 1 and sizes["mnli"] == 3 and sizes["mlm"] == 0
    assert all(sizes[name] == 2 for name in GLUE if name not in ("stsb", "mnli"))
    assert [name for name, task in TASKS.items() if task.regression] == ["stsb"]


def test_mnli_is_judged_on_both_splits_matched_first() -> None:
    assert TASKS["mnli"].evaluation == ("validation_matched", "validation_mismatched")
    others = [task.evaluation for name, task in TASKS.items() if name != "mnli"]
    assert set(others) == {("validation",)}


@pytest.mark.parametrize("module", ["fedbert.tasks", "fedbert.data.sources"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "datasets", "pandas", "pyarrow"}
    assert not heavy & set(done.stdout.split())
