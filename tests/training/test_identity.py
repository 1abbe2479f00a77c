import pytest

from sr_pipeline.code_identity import imported_modules
from sr_pipeline.training.identity import COMPUTING, TrainingInputs, checkpoint_id, code_id, training_id
from sr_pipeline.training.recipes import Recipe, TrainParameters


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


def test_a_training_that_was_ended_early():
    """With a constant rate it is the one of fewer steps; else its rates were those of the longer one."""

    def training(steps, decay):
        pretraining = {"steps": 10}
        return inputs({"pretraining": pretraining, "adversarial": {"steps": steps, "learning_rate": {"decay": decay}}})

    assert training(20, "constant").after(15) == training(5, "constant")
    assert training(20, "cosine").after(30) == training(20, "cosine")
    ended = {training_id(training(steps, "cosine").after(15)) for steps in (5, 20, 30)}
    assert len(ended) == 3
    assert training(20, "cosine").after(15).content()["ended_at"] == 15
    assert "ended_at" not in training(20, "constant").after(15).content()


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


def test_a_given_generator_takes_the_place_of_the_one_to_start_from(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)

    def identity(**pretraining):
        files = {field: tmp_path / name for field, name in pretraining.items()}
        return training_id(inputs({"pretraining": files}))

    assert identity(generator="a", start="a") == identity(generator="a", start="b") == identity(generator="a")
    assert len({identity(), identity(generator="a"), identity(generator="b"), identity(start="a")}) == 4


def test_the_code_has_an_id_of_its_own():
    """Checkpoints of other code are found by the same id."""
    assert code_id() == code_id() != checkpoint_id(inputs(), TrainParameters())


@pytest.mark.parametrize(
    "module",
    [
        *(f"training.{name}" for name in ("growth", "input", "loop", "objectives", "optimizers", "phases", "state")),
        *(f"training.{name}" for name in ("checkpoint", "devices", "generators", "setup", "steps", "validation")),
        *(f"networks.{name}" for name in ("discriminator", "features", "generator", "lpips", "progressive")),
        "crops.shards",
        "imaging.metrics",
    ],
)
def test_the_code_that_computes_a_training_counts(module):
    assert f"sr_pipeline.{module}" in imported_modules(*COMPUTING)
