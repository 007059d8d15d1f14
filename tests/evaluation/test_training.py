"""What a training's file may say."""

from pathlib import Path

import pytest

from evaluation.training import read_training
from fedbert.config import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[defence]\nname = "d"\nlevel = { "smashed.clip_norm" = [1.0] }', "expected one setting"),
        ('[defence]\nname = "d"\nsmashd = {}', "unknown key 'smashd'"),
        ("delta = 2.0", "expected 0 < delta < 1, got delta=2.0"),
        ("seed = [", "expected a TOML file"),
        ("sead = 1", "unknown key 'sead'"),
    ],
)
def test_what_a_training_cannot_mean_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=expected) as error:
        read_training(path, pretraining=False)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a configuration file, got no file"):
        read_training(tmp_path / "absent.toml", pretraining=True)
