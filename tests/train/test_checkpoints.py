"""Checkpoints: which are kept, and what happens when one is damaged, deleted or half-written."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from cosseg_jax.errors import UserError
from cosseg_jax.train.checkpoints import DAMAGED, Checkpoints
from cosseg_jax.train.step import TrainState

CONFIG = ConfigDict({"seed": 3})


def state_at(step: int) -> TrainState:
    rng = np.random.default_rng(step)
    params = {"kernel": rng.normal(size=(64, 32)).astype(np.float32)}
    return TrainState(np.asarray(step, np.int32), params, {}, (), None)


def save(checkpoints: Checkpoints, step: int, J: float | None = None) -> None:
    scores = None if J is None else {"J": J, "P": 90.0}
    checkpoints.save(state_at(step), {"next_step": step}, CONFIG, scores)


def accept(config: ConfigDict) -> None:
    assert config.seed == 3


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def two(checkpoints):
    """Checkpoints of steps 1 and 2."""
    for step in (1, 2):
        save(checkpoints, step)
    checkpoints.wait()
    return checkpoints


def largest_file(folder: Path) -> Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def flip_a_bit(folder: Path) -> None:
    path = largest_file(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_in_half(folder: Path) -> None:
    path = largest_file(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit_the_record(folder: Path) -> None:
    path = folder / "record" / "metadata"
    path.write_text(path.read_text().replace('"next_step": 2', '"next_step": 7'))


def remove_the_record(folder: Path) -> None:
    shutil.rmtree(folder / "record")


def remove_the_state(folder: Path) -> None:
    shutil.rmtree(folder / "state")


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_the_two_newest_and_the_best_are_kept(checkpoints):
    for step, J in enumerate([None, 50.0, 60.0, 55.0, None, None], start=1):
        save(checkpoints, step, J)
    checkpoints.wait()
    assert checkpoints.steps == [3, 5, 6]
    assert (checkpoints.best, checkpoints.latest) == (3, 6)


def test_without_a_validation_the_newest_is_the_best(two):
    assert two.best == 2


def test_a_state_is_restored_as_it_was_saved(two):
    restored = two.restore(1, state_at(0))
    jax.tree.map(np.testing.assert_array_equal, restored.state, state_at(1))
    assert restored.data_state == {"next_step": 1}


def test_a_new_workdir_has_nothing_to_restore(checkpoints):
    assert checkpoints.restore_newest(state_at(0), accept) is None
    assert (checkpoints.latest, checkpoints.best) == (None, None)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        cut_in_half,
        edit_the_record,
        remove_the_record,
        remove_the_state,
        empty,
        shutil.rmtree,
    ],
)
def test_a_run_goes_on_from_the_newest_that_can_be_read(two, tmp_path, damage, capsys):
    damage(two.folder / "2")
    restored = two.restore_newest(state_at(0), accept)
    assert restored is not None
    jax.tree.map(np.testing.assert_array_equal, restored.state, state_at(1))
    assert two.steps == [1]
    if damage is not shutil.rmtree:
        assert "checkpoints/2 cannot be read" in capsys.readouterr().out
        assert [path.name for path in (tmp_path / DAMAGED).iterdir()] == ["2"]
    save(two, 2)
    two.wait()
    assert two.steps == [1, 2]


def test_a_run_never_starts_anew_where_no_checkpoint_can_be_read(two, tmp_path):
    for step in (1, 2):
        flip_a_bit(two.folder / str(step))
    with pytest.raises(UserError, match=r"checkpoints/2 cannot be read .*checkpoints/1 cannot"):
        two.restore_newest(state_at(0), accept)
    assert two.steps == [1, 2]


def test_a_damaged_best_checkpoint_is_named(two):
    flip_a_bit(two.folder / "2")
    with pytest.raises(UserError, match=r"checkpoints/2 cannot be read .*; remove that folder"):
        two.restore(2, state_at(0))


def test_a_config_that_is_refused_is_not_taken_for_damage(two):
    def refuse(_: ConfigDict) -> None:
        raise UserError("another config")

    with pytest.raises(UserError, match="another config"):
        two.restore_newest(state_at(0), refuse)
    assert two.steps == [1, 2]


def test_what_a_kill_has_left_is_removed_and_never_restored(two, tmp_path):
    for name in ("3.orbax-checkpoint-tmp", "0.removed"):
        shutil.copytree(two.folder / "2", two.folder / name)
    again = Checkpoints(tmp_path)
    again.close()
    assert sorted(path.name for path in two.folder.iterdir()) == ["1", "2"]


def test_a_save_that_fails_names_its_step_and_leaves_the_ones_before(two, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(two._saver.handler, "finalize", fail)
    save(two, 3)
    with pytest.raises(UserError, match=r"step 3 could not be saved.*No space left on device"):
        two.wait()
    assert two.steps == [1, 2]
    assert json.dumps(two.restore(2, state_at(0)).data_state) == '{"next_step": 2}'


def test_a_workdir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into .*file/checkpoints: Not a directory"):
        Checkpoints(tmp_path / "file")
