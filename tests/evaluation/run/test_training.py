"""What a training's file may say."""

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.run.training_file import read_training
from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.errors import InputError
from fedbert.prepare import prepare


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[defence]\nname = "d"\nsmashed = { mechanism = "clip_only" }\n'
            'level = { "smashed.clip_norm" = [1.0] }',
            "defence: expected one setting, got level=",
        ),
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


def test_hold_out_is_the_coin_of_a_grid_and_is_off_without_a_say() -> None:
    config = Config(
        ModelConfig("tiny", tokenizer="generated"),
        DataConfig(source="generated", pool_size=200, evaluation=4, max_length=12),
    )
    assert prepare(config).members is None
    half = replace(config, data=replace(config.data, hold_out=0.5))
    held, coin = prepare(half).members, prepare(config, coin=True).members
    assert held is not None and coin is not None and (held == coin).all()
    tenth = prepare(replace(config, data=replace(config.data, hold_out=0.1))).members
    assert tenth is not None and 160 <= int(tenth.sum()) <= 196  # binomial(200, .9), 1e-4
    with pytest.raises(InputError, match="0 <= hold_out < 1"):
        DataConfig(hold_out=1.0)
