import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.training.checkpoint import Checkpoint, Checkpoints
from sr_pipeline.training.identity import TrainingInputs, checkpoint_id, training_id
from sr_pipeline.training.recipes import Recipe, TrainParameters


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def state(step):
    many = [np.full((2, 3), step + i, np.float32) for i in range(12)]
    arrays = {"generator": many, "generator_optimizer": [np.array(step, np.int64), np.float32(1e-4)]}
    return Checkpoint(step, "adversarial", arrays, [{"step": step, "phase": "adversarial", "loss": 0.1}])


def test_what_is_read_is_what_was_written(checkpoints):
    checkpoints.save(state(5))
    read = checkpoints.newest(10)
    assert (read.step, read.phase, read.history) == (5, "adversarial", state(5).history)
    assert read.arrays.keys() == state(5).arrays.keys()
    for name, arrays in state(5).arrays.items():
        assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(arrays, read.arrays[name], strict=True))


def test_only_the_newest_stay(checkpoints):
    for step in (5, 10, 15):
        checkpoints.save(state(step))
    assert [path.name for path in sorted(checkpoints.folder.iterdir())] == ["step-000000010.npz", "step-000000015.npz"]
    assert checkpoints.newest(99).step == 15
    assert checkpoints.newest(12).step == 10
    assert checkpoints.newest(9) is None
    checkpoints.clear()
    assert checkpoints.newest(99) is None


def test_a_damaged_one_is_left_out(checkpoints, caplog):
    checkpoints.save(state(5))
    checkpoints.save(state(10))
    newest = checkpoints.folder / "step-000000010.npz"
    newest.write_bytes(newest.read_bytes()[:200])
    assert checkpoints.newest(99).step == 5
    assert "step-000000010.npz is damaged" in caplog.text


def test_what_killed_runs_left_goes(checkpoints):
    checkpoints.save(state(5))
    (checkpoints.folder / "step-000000010.npz.abc.partial").touch()
    checkpoints.save(state(10))
    assert not list(checkpoints.folder.glob("*.partial"))


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write the checkpoint of step 5 into .*; make room and run again"):
        Checkpoints(tmp_path / "file/checkpoints", keep=2).save(state(5))


def inputs(recipe=None, **changed):
    values = {
        "seed": 0,
        "precision": "float32",
        "perceptual_weights": "untrained",
        "crops_sha256": {"train": "a"},
        "device": "x86_64 with AVX2",
    }
    return TrainingInputs(Recipe.model_validate(recipe or {}), **(values | changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"precision": "bfloat16"},
        {"perceptual_weights": "imagenet"},
        {"perceptual_weights": "packaged"},
        {"device": "x86_64 with AMX"},
        {"crops_sha256": {"train": "b"}},
        {"recipe": {"batch_size": 8}},
        {"recipe": {"adversarial": {"weight": 0.5}}},
    ],
)
def test_a_change_of_parameters_is_another_training(changed):
    parameters = TrainParameters()
    assert training_id(inputs()) == training_id(inputs())
    assert training_id(inputs(**changed)) != training_id(inputs())
    assert checkpoint_id(inputs(**changed), parameters) != checkpoint_id(inputs(), parameters)


def test_checkpoints_serve_a_longer_training_if_the_learning_rate_allows():
    parameters = TrainParameters()

    def identity(steps, decay):
        recipe = {"adversarial": {"steps": steps, "learning_rate": {"decay": decay}}}
        return checkpoint_id(inputs(recipe), parameters)

    assert identity(10, "constant") == identity(20, "constant")
    assert identity(10, "cosine") != identity(20, "cosine")
    assert training_id(inputs({"adversarial": {"steps": 10}})) != training_id(inputs({"adversarial": {"steps": 20}}))


def test_checkpoints_serve_any_interpolation():
    recipes = [{"pretraining": {}, "adversarial": {"interpolation": share}} for share in (0.5, 1.0)]
    assert len({checkpoint_id(inputs(recipe), TrainParameters()) for recipe in recipes}) == 1
    assert len({training_id(inputs(recipe)) for recipe in recipes}) == 2


def test_how_a_training_reports_is_part_of_its_history():
    assert checkpoint_id(inputs(), TrainParameters(log_every=7)) != checkpoint_id(inputs(), TrainParameters())
    assert checkpoint_id(inputs(), TrainParameters(checkpoint_every=7)) == checkpoint_id(inputs(), TrainParameters())


def test_a_weights_file_counts_by_its_content(tmp_path):
    (tmp_path / "a").write_text("weights")
    (tmp_path / "b").write_text("weights")
    (tmp_path / "c").write_text("other weights")
    a, b, c = (training_id(inputs(perceptual_weights=str(tmp_path / name))) for name in "abc")
    assert a == b != c
