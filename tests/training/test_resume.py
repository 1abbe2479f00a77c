"""An interrupted training ends as the uninterrupted one, to the bit; and which checkpoint it goes on from."""

import logging
import os
from dataclasses import replace
from itertools import count

import keras
import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.precision import dtype_policy, resolve_precision
from sr_pipeline.training.checkpoint import Checkpoint, Checkpoints
from sr_pipeline.training.recipes import Recipe, TrainParameters
from sr_pipeline.training.resume import choose_checkpoint
from sr_pipeline.training.setup import TrainingSetup
from tests.conftest import PRECISIONS, SHALLOW
from tests.training.tiny import train_on_crops

RECIPE = {
    "generator": {"filters": 4, "blocks": 1},
    "discriminator": {"filters": 4, "dense": 4},
    "batch_size": 2,
    "augment": True,
    "pretraining": {"steps": 7, "learning_rate": {"initial": 1e-3, "decay": "cosine", "warmup_steps": 2}},
    "adversarial": {"steps": 9, "learning_rate": {"initial": 1e-3}, "features": SHALLOW},
}
PARAMETERS = TrainParameters(log_every=2, validate_every=4, checkpoint_every=3)


@pytest.fixture(scope="module")
def crops(crops_of_size):
    return crops_of_size(48, 11)


@pytest.fixture
def train(request, crops):
    return trainings(crops, getattr(request, "param", "auto"))


@pytest.fixture(scope="module")
def uninterrupted(crops):
    """What RECIPE gives. Tests must not change it."""
    return trainings(crops, "auto")()


def trainings(crops, precision):
    """Makes trainings, of RECIPE or another, that end or are interrupted at a step."""
    precision = resolve_precision(precision)
    features = FeatureExtractor("untrained", SHALLOW, dtype=dtype_policy(precision))

    def run(checkpoints=None, stop_at=None, recipe=RECIPE):
        def observe(metrics, step, picture=None):
            if stop_at is not None and step >= stop_at:
                raise KeyboardInterrupt

        setup = TrainingSetup(Recipe.model_validate(recipe), features, crop_size=48, precision=precision, seed=3)
        return train_on_crops(crops, setup, observe, PARAMETERS, checkpoints)

    return run


VARIANTS = {
    "wgan_gp": {
        "discriminator": {"filters": 4, "dense": 4, "batch_normalization": False},
        "adversarial": {"steps": 9, "objective": "wasserstein", "features": SHALLOW},
        "ema_decay": 0.9,
    },
    "shift": {
        "adversarial": {
            "steps": 9,
            "shift": 16,
            "joint_batch": True,
            "pixel_weight": 1.0,
            "smooth_area_weight": 1.0,
            "features": SHALLOW,
        }
    },
    "progressive": {"growth": {"steps": 5, "fade_steps": 4}, "adversarial": {"steps": 4, "features": SHALLOW}},
}


@pytest.mark.parametrize(
    ("variant", "stops"),
    [
        ("progressive", (7,)),
        *(pytest.param(variant, (5, 7, 9), marks=pytest.mark.slow) for variant in VARIANTS),
    ],
)
def test_every_recipe_resumes_exactly(crops, tmp_path, variant, stops):
    """Reports come at steps 2, 4 and so on, and where phases end; checkpoints at each third step or with the next."""
    recipe = {key: value for key, value in RECIPE.items() if key != "pretraining"} | VARIANTS[variant]
    train = trainings(crops, "float32")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    for stop_at in stops:
        with pytest.raises(KeyboardInterrupt):
            train(checkpoints, stop_at, recipe)
    assert_equal(train(checkpoints, recipe=recipe), train(recipe=recipe))


def assert_equal(one, other):
    assert one.history == other.history
    assert one.generators.keys() == other.generators.keys()
    for name, model in {**one.generators, "best": one.best}.items():
        expected = other.best if name == "best" else other.generators[name]
        weights = zip(model.get_weights(), expected.get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in weights), name


def test_interrupted_in_both_phases_it_ends_the_same(train, uninterrupted, tmp_path):
    assert_ends_the_same(train, (6, 13), uninterrupted, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("train", PRECISIONS, indirect=True)
def test_interrupted_again_and_again_it_ends_the_same(train, tmp_path):
    """Reports come at steps 2, 4, 6, 7 and 9, 11, 13, 15, 16; checkpoints at 4, 7, 11, 15, 16."""
    assert_ends_the_same(train, (2, 6, 7, 9, 13, 15), train(), tmp_path)


def assert_ends_the_same(train, stops, expected, folder):
    checkpoints = Checkpoints(folder / "checkpoints", keep=2)
    for stop_at in stops:
        with pytest.raises(KeyboardInterrupt):
            train(checkpoints, stop_at)
    assert_equal(train(checkpoints), expected)
    assert_equal(train(checkpoints), expected)  # finished: nothing is left to do


@pytest.mark.slow
def test_a_finished_training_can_be_extended(train, tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    train(checkpoints)
    longer = {**RECIPE, "adversarial": {**RECIPE["adversarial"], "steps": 13}}
    extended, at_once = train(checkpoints, recipe=longer), train(recipe=longer)
    assert extended.history[-1]["step"] == 20
    weights = zip(extended.generators["srgan"].get_weights(), at_once.generators["srgan"].get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in weights)


@pytest.mark.parametrize("ema_decay", [0.0, pytest.param(0.9, marks=pytest.mark.slow)])
def test_a_training_goes_on_from_a_pretrained_generator_as_from_its_own(train, uninterrupted, tmp_path, ema_decay):
    recipe = RECIPE | {"ema_decay": ema_decay}
    at_once = train(recipe=recipe) if ema_decay else uninterrupted
    at_once.generators["srresnet"].save(tmp_path / "srresnet.keras")
    pretraining = RECIPE["pretraining"] | {"generator": tmp_path / "srresnet.keras"}
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoints, 12, recipe | {"pretraining": pretraining})
    later = train(checkpoints, recipe=recipe | {"pretraining": pretraining})
    assert_equal(later, replace(at_once, history=[row for row in at_once.history if row["phase"] == "adversarial"]))


def test_what_is_kept_can_lie_between_the_phases(train, uninterrupted, tmp_path):
    recipe = {**RECIPE, "adversarial": RECIPE["adversarial"] | {"interpolation": 0.25}}
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoints, 11, recipe)
    between = train(checkpoints, recipe=recipe)
    assert between.history == uninterrupted.history
    pretrained = uninterrupted.generators["srresnet"].get_weights()
    ends = (uninterrupted.generators["srgan"], between.generators["srgan"]), (uninterrupted.best, between.best)
    for end, kept in ends:
        weights = list(zip(pretrained, end.get_weights(), kept.get_weights(), strict=True))
        assert any(np.abs(last - start).max() > 1e-4 for start, last, _ in weights)
        for start, last, blended in weights:
            assert np.allclose(blended, 0.75 * start + 0.25 * last, atol=1e-6)


@pytest.mark.slow
def test_a_generator_can_be_fine_tuned(train, uninterrupted, tmp_path):
    """Both phases begin with its weights; interrupted, the training ends as uninterrupted."""
    uninterrupted.generators["srresnet"].save(tmp_path / "given.keras")
    slow = {"steps": 7, "start": tmp_path / "given.keras", "learning_rate": {"initial": 1e-6}}
    recipe = RECIPE | {"pretraining": slow}
    tuned = train(recipe=recipe)
    given = keras.saving.load_model(tmp_path / "given.keras", compile=False)
    kernels = [model.get_layer("head_conv").get_weights()[0] for model in (given, tuned.generators["srresnet"])]
    assert 0 < np.abs(kernels[1] - kernels[0]).max() < 1e-4
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    with pytest.raises(KeyboardInterrupt):
        train(checkpoints, 6, recipe)
    assert_equal(train(checkpoints, recipe=recipe), tuned)


def checkpoint_of(step, code):
    return Checkpoint(step, "adversarial", {"networks/generator": [np.zeros(1)]}, codes=[code])


@pytest.fixture
def kept(tmp_path):
    """Makes the checkpoints of some code, with one of each step; each call writes later than the one before."""
    times = count(1)

    def make(code, *steps):
        checkpoints = Checkpoints(tmp_path / "id" / code, keep=2)
        for step in steps:
            checkpoints.save(checkpoint_of(step, code))
        for file in checkpoints.folder.glob("*"):
            os.utime(file, (written := next(times), written))
        return checkpoints

    return make


@pytest.mark.parametrize("resume", [True, "any"])
def test_the_same_code_goes_on(kept, resume):
    kept("old", 3)
    assert choose_checkpoint(kept("new", 6), resume, last_step=9).step == 6


@pytest.mark.parametrize("resume", [True, "any"])
def test_nothing_kept_is_nothing_to_go_on_from(kept, resume):
    assert choose_checkpoint(kept("new"), resume, last_step=9) is None


def test_an_interrupted_training_of_other_code_is_not_begun_anew_without_a_word(kept):
    kept("old", 3, 6)
    message = (
        "this training was interrupted at step 6 of 9, and code or libraries have changed since; "
        "train.resume=any goes on from there, train.resume=false starts over"
    )
    with pytest.raises(UserError) as caught:
        choose_checkpoint(kept("new"), True, last_step=9)
    assert str(caught.value) == message


def test_a_finished_training_of_other_code_is_done_anew_and_the_log_says_so(kept, caplog):
    caplog.set_level(logging.INFO)
    kept("older", 3)  # what the finished one went on from, or what was started over
    kept("old", 6, 9)
    assert choose_checkpoint(kept("new"), True, last_step=9) is None
    assert caplog.messages == ["code or libraries have changed since this training was finished: it starts over"]


def test_any_code_will_do_and_is_named(kept):
    kept("older", 8)
    kept("old", 3, 6)
    checkpoint = choose_checkpoint(kept("new"), "any", last_step=9)
    assert checkpoint.step == 6
    assert checkpoint.origin("new") == ", computed by other code or libraries (old)"
    assert checkpoint.origin("old") == ""


def test_what_was_written_last_counts(kept):
    own = kept("new", 3)
    kept("old", 6)
    assert choose_checkpoint(own, "any", last_step=9).step == 6
    assert choose_checkpoint(own, True, last_step=9).step == 3


def test_starting_over_removes_what_the_same_code_kept(kept):
    kept("old", 6)
    own = kept("new", 3)
    assert choose_checkpoint(own, False, last_step=9) is None
    assert own.newest(9) is None
    assert choose_checkpoint(own, "any", last_step=9).codes == ["old"]
