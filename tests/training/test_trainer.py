import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sr_pipeline.crops.layout import cut_pairs
from sr_pipeline.errors import UserError
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from sr_pipeline.training import trainer as trainer_module
from sr_pipeline.training.input import CropPair
from sr_pipeline.training.objectives import generator_adversarial_loss, perceptual_loss
from sr_pipeline.training.recipes import AdamParameters, LearningRate, Recipe, TrainParameters
from sr_pipeline.training.steps import (
    TrainableNetwork,
    build_optimizer,
    discriminator_logits,
    learning_rate_schedule,
    to_minus_one_one,
    unit,
    window_of,
)
from sr_pipeline.training.trainer import Trainer
from sr_pipeline.training.validation import Validation
from tests.conftest import PRECISIONS, SHALLOW

RECIPE = Recipe.model_validate(
    {
        "generator": {"filters": 8, "blocks": 1, "batch_normalization": False},
        "discriminator": {"filters": 4, "dense": 4},
        "batch_size": 2,
        "pretraining": {"steps": 4, "learning_rate": {"initial": 1e-3}},
        "adversarial": {"steps": 3, "feature_scale": 0.08, "weight": 1e-3, "features": SHALLOW},
    }
)


@pytest.fixture(scope="module")
def features():
    return FeatureExtractor("untrained", SHALLOW)


@pytest.fixture
def trainer(features):
    return Trainer(RECIPE, features, crop_size=48, precision="float32", seed=3)


@pytest.fixture
def batch(photograph):
    pairs = list(cut_pairs(Image.fromarray(photograph), [(100, 100), (60, 200)], 48, 4))
    return CropPair(*(np.stack([np.asarray(crop) for crop in crops]) for crops in zip(*pairs, strict=True)))


def changed(before, model):
    return [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]


def test_an_adversarial_step_moves_both_networks_and_not_vgg(trainer, batch):
    generator, discriminator, vgg = (
        m.get_weights() for m in (trainer.generator, trainer.discriminator, trainer.features.model)
    )
    losses = {
        name: float(loss) for name, loss in trainer.adversarial_step(10, LearningRate())(batch.hr, batch.lr).items()
    }
    assert all(changed(generator, trainer.generator))
    assert any(changed(discriminator, trainer.discriminator))
    assert not any(changed(vgg, trainer.features.model))
    assert losses["generator_loss"] == pytest.approx(
        losses["perceptual_loss"] + 1e-3 * losses["adversarial_loss"], rel=1e-5
    )


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_neither_network_moves_the_other(trainer, batch, frozen, monkeypatch):
    """With one optimizer's rate at zero its network stays, whatever the other does."""
    network = trainer_module.TrainableNetwork
    model = getattr(trainer, frozen)

    def network_with_zero_rate(call, models, optimizer, *rest):
        if models[0] is model:
            optimizer.learning_rate = 0.0
        return network(call, models, optimizer, *rest)

    monkeypatch.setattr(trainer_module, "TrainableNetwork", network_with_zero_rate)
    other = "discriminator" if frozen == "generator" else "generator"
    before = {name: [w.numpy() for w in getattr(trainer, name).trainable_variables] for name in (frozen, other)}
    trainer.adversarial_step(10, LearningRate())(batch.hr, batch.lr)
    after = {name: [w.numpy() for w in getattr(trainer, name).trainable_variables] for name in (frozen, other)}
    assert all(np.array_equal(a, b) for a, b in zip(before[frozen], after[frozen], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(before[other], after[other], strict=True))


@pytest.mark.parametrize("term", ["perceptual_loss", "adversarial_loss"])
def test_each_loss_term_reaches_every_generator_weight(trainer, batch, term):
    with tf.GradientTape() as tape:
        sr = trainer.generator(unit(batch.lr), training=True)
        target = to_minus_one_one(batch.hr)
        losses = {
            "perceptual_loss": perceptual_loss(trainer.features(target), trainer.features(sr), [1.0]),
            "adversarial_loss": generator_adversarial_loss(trainer.discriminator(sr, training=True)),
        }
    gradients = tape.gradient(losses[term], trainer.generator.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


def variant(**changed):
    recipe = RECIPE.model_dump() | {"pretraining": None} | changed
    recipe["adversarial"] = {"features": SHALLOW} | recipe["adversarial"]
    return Recipe.model_validate(recipe)


@pytest.mark.parametrize("loss", ["pixel", "smooth_area"])
def test_a_weighted_loss_is_part_of_the_generators(features, batch, loss):
    plain, weighted = (
        Trainer(
            variant(adversarial={"steps": 3, f"{loss}_weight": weight}),
            features,
            crop_size=48,
            precision="float32",
            seed=3,
        ).adversarial_step(10, LearningRate())(batch.hr, batch.lr)
        for weight in (0.0, 5.0)
    )
    assert f"{loss}_loss" not in plain
    assert weighted[f"{loss}_loss"] > 0
    assert float(weighted["generator_loss"]) == pytest.approx(
        float(plain["generator_loss"] + 5 * weighted[f"{loss}_loss"]), rel=1e-5
    )


def test_shifted_windows_are_the_same_of_both_images_and_move(features, batch):
    recipe = variant(adversarial={"steps": 3, "shift": 32})
    trainer = Trainer(recipe, features, crop_size=48, precision="float32", seed=3)
    assert trainer.discriminator.input_shape == (None, 16, 16, 3)
    places = np.tile(np.arange(48 * 48, dtype=np.float32).reshape(1, 48, 48, 1), (2, 1, 1, 3))
    corners = []
    for count in range(150):
        cut = window_of(48, recipe.adversarial, seed=3, count=tf.constant(count))
        one, other = cut(tf.constant(places)).numpy(), cut(tf.constant(-places)).numpy()
        row, column = divmod(int(one[0, 0, 0, 0]), 48)
        assert np.array_equal(one, places[:, row : row + 16, column : column + 16])
        assert np.array_equal(other, -one)
        corners.append((row, column))
    assert len({(row % 4, column % 4) for row, column in corners}) == 16
    losses = trainer.adversarial_step(10, LearningRate())(batch.hr, batch.lr)
    assert np.isfinite(float(losses["generator_loss"]))


def test_only_a_joint_batch_shows_the_discriminator_which_images_have_less_contrast(trainer, batch):
    """In a batch of its own, normalization makes a picture of half the contrast equal to the original."""
    network = TrainableNetwork(
        lambda images, count: trainer.discriminator(images, training=True),
        [trainer.discriminator],
        build_optimizer(LearningRate(), 1, AdamParameters()),
    )
    hr, count = to_minus_one_one(batch.hr), tf.constant(0)
    alone, together = (
        float(tf.norm(tf.subtract(*discriminator_logits(network, hr, 0.5 * hr, count, joint=joint))))
        for joint in (False, True)
    )
    assert alone < 0.1 * together


@pytest.mark.parametrize("refinement", [None, {"filters": 4, "layers": 2}])
def test_equal_phases_leave_no_grid_on_areas_of_one_colour(features, batch, refinement):
    direct = {"batch_normalization": False, "upsampling": "direct", "refinement": refinement}
    generator = {"filters": 8, "blocks": 1} | direct
    flat = np.full((1, 20, 20, 3), 0.6, np.float32)
    grids = {}
    for equal in (False, True):
        recipe = variant(generator=generator | {"equal_phases": equal}, adversarial={"steps": 3})
        trainer = Trainer(recipe, features, crop_size=48, precision="float32", seed=3)
        trainer.adversarial_step(10, LearningRate(initial=1e-2))(batch.hr, batch.lr)
        saved = trainer.generator_of(trainer.generator.get_weights())
        grids[equal] = np.ptp(saved(flat)[0, 36:44, 36:44].numpy(), axis=(0, 1)).max()
    assert grids[True] < 1e-5
    assert grids[False] > 1e-2


def test_equal_phases_hold_between_the_phases(features, crops_of_size, tmp_path):
    generator = {"filters": 8, "blocks": 1, "batch_normalization": False, "upsampling": "direct"}
    build_generator(GeneratorParameters(**generator), seed=5).save(tmp_path / "unequal.keras")
    recipe = variant(
        generator=generator | {"equal_phases": True},
        pretraining={"steps": 1, "generator": tmp_path / "unequal.keras"},
        adversarial={"steps": 2, "interpolation": 0.5},
    )
    trainer = Trainer(recipe, features, crop_size=48, precision="float32", seed=3)
    crops = crops_of_size(48, 4)
    validation = Validation([CropPair(*crops[0])])
    result = trainer.train(crops, validation, TrainParameters(), lambda metrics, step, picture=None: None)
    flat = np.full((1, 20, 20, 3), 0.6, np.float32)
    for model in (result.generators["srgan"], result.best):
        assert np.ptp(model(flat)[0, 36:44, 36:44].numpy(), axis=(0, 1)).max() < 1e-5
    assert np.ptp(result.generators["srresnet"](flat)[0, 36:44, 36:44].numpy(), axis=(0, 1)).max() > 1e-2


CRITIC = {"filters": 4, "dense": 4, "batch_normalization": False}


def test_a_wasserstein_step_moves_both_networks(features, batch):
    recipe = variant(discriminator=CRITIC, adversarial={"steps": 3, "objective": "wasserstein"})
    trainer = Trainer(recipe, features, crop_size=48, precision="float32", seed=3)
    generator, critic = trainer.generator.get_weights(), trainer.discriminator.get_weights()
    step = trainer.adversarial_step(10, LearningRate())
    losses = {name: float(loss) for name, loss in step(batch.hr, batch.lr).items()}
    assert all(changed(generator, trainer.generator))
    assert any(changed(critic, trainer.discriminator))
    assert losses["adversarial_loss"] == pytest.approx(-losses["critic_sr"])
    assert losses["discriminator_loss"] == pytest.approx(
        losses["critic_sr"] - losses["critic_hr"] + 10 * losses["gradient_penalty"], rel=1e-5
    )


def test_gradient_norms_are_those_of_the_gradients(trainer, batch):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(to_minus_one_one(batch.hr) - trainer.generator(unit(batch.lr), training=True)))
    expected = tf.linalg.global_norm(tape.gradient(loss, trainer.generator.trainable_variables))
    losses = trainer.pretraining_step(10, LearningRate())(batch.hr, batch.lr)
    assert float(losses["generator_gradient_norm"]) == pytest.approx(float(expected), rel=1e-4)


def test_the_average_follows_the_weights(features, batch):
    """After t updates the decay is min(0.99, (1 + t) / (10 + t)) and the rest is the new weights' share."""
    trainer = Trainer(variant(ema_decay=0.99), features, crop_size=48, precision="float32", seed=3)
    step = trainer.pretraining_step(10, LearningRate(initial=1e-2))
    expected = trainer.generator.get_weights()
    for t in (1, 2):
        step(batch.hr, batch.lr)
        decay = (1 + t) / (10 + t)
        new = trainer.generator.get_weights()
        expected = [decay * mean + (1 - decay) * weight for mean, weight in zip(expected, new, strict=True)]
    for mean, value in zip(trainer.ema.get_weights(), expected, strict=True):
        assert np.allclose(mean, value, atol=1e-6)
    assert trainer.resulting_generator is trainer.ema


@pytest.mark.parametrize("precision", PRECISIONS)
def test_progressive_training_goes_from_half_to_full_resolution(features, batch, monkeypatch, precision):
    recipe = variant(growth={"steps": 2, "fade_steps": 2}, adversarial={"steps": 3})
    trainer = Trainer(recipe, features, crop_size=48, precision=precision, seed=3)
    upper = trainer.generator.get_layer("double2_conv").get_weights()[0]
    lower = trainer.generator.get_layer("head_conv").get_weights()[0]
    step = trainer.growth_step()
    step(batch.hr, batch.lr)
    assert np.array_equal(upper, trainer.generator.get_layer("double2_conv").get_weights()[0])
    assert not np.array_equal(lower, trainer.generator.get_layer("head_conv").get_weights()[0])
    result = run(trainer, batch, monkeypatch)
    assert [row["phase"] for row in result.history] == ["growth", "adversarial", "adversarial"]
    assert list(result.generators) == ["srgan"]
    assert not np.array_equal(upper, trainer.generator.get_layer("double2_conv").get_weights()[0])


@pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="TensorFlow asks the processor alone, not ONEDNN_MAX_CPU_ISA, whether oneDNN computes float16",
)
def test_float16_scales_the_losses(features, batch):
    trainer = Trainer(RECIPE, features, crop_size=48, precision="float16", seed=3)
    step = trainer.pretraining_step(10, LearningRate())
    first = {name: float(value) for name, value in step(batch.hr, batch.lr).items()}
    exact = Trainer(RECIPE, features, crop_size=48, precision="float32", seed=3)
    expected = {k: float(v) for k, v in exact.pretraining_step(10, LearningRate())(batch.hr, batch.lr).items()}
    assert float(step.optimizers["generator_optimizer"].dynamic_scale) >= 1024
    assert first["pixel_loss"] == pytest.approx(expected["pixel_loss"], rel=0.02)
    assert first["generator_gradient_norm"] == pytest.approx(expected["generator_gradient_norm"], rel=0.05)
    before = trainer.generator.get_weights()
    step(batch.hr, batch.lr)
    assert any(changed(before, trainer.generator))


def test_a_short_training_traces_once(trainer, batch):
    step = trainer.pretraining_step(10, LearningRate())
    for _ in range(3):
        step(batch.hr, batch.lr)
    assert step.update.experimental_get_tracing_count() == 1


def test_the_best_generator_is_kept(features, batch, monkeypatch):
    """With a rate that ruins the generator, the first validation stays the best."""
    recipe = variant(adversarial={"steps": 8, "learning_rate": {"initial": 0.3}})
    result = run(Trainer(recipe, features, crop_size=48, precision="float32", seed=3), batch, monkeypatch)
    measured = [row["validation_psnr_y"] for row in result.history if "validation_psnr_y" in row]
    assert len(measured) == 2
    validation = Validation([CropPair(hr, lr) for hr, lr in zip(batch.hr, batch.lr, strict=True)])
    assert validation.measure(result.best)[0]["validation_psnr_y"] == pytest.approx(max(measured), abs=1e-3)
    assert validation.measure(result.generators["srgan"])[0]["validation_psnr_y"] == pytest.approx(
        measured[-1], abs=1e-3
    )


def test_a_discriminator_that_has_won_is_told_of(trainer, batch, monkeypatch, caplog):
    monkeypatch.setattr(trainer_module, "_WON_LOSS", 100.0)
    monkeypatch.setattr(trainer_module, "_WON_STEPS", 2)
    run(trainer, batch, monkeypatch)
    assert caplog.text.count("the discriminator has won: its loss was below 100 for 2 steps up to step 6") == 1


def test_crops_that_vanish_stop_the_training(features, crops_of_size):
    crops = crops_of_size(48, 3)
    trainer = Trainer(RECIPE, features, crop_size=48, precision="float32", seed=3)
    validation = Validation([CropPair(*crops[0])])
    del crops.__dict__["records"]  # as in a new process
    next(crops.folder.glob("*.array_record")).unlink()
    with pytest.raises(UserError, match=r"the crops cannot be read any more .*kedro run --pipelines=materialize"):
        trainer.train(crops, validation, TrainParameters(), lambda metrics, step, picture=None: None)


def test_one_batch_can_be_overfitted(trainer, batch):
    step = trainer.pretraining_step(150, LearningRate(initial=3e-3))
    losses = [float(step(batch.hr, batch.lr)["pixel_loss"]) for _ in range(150)]
    assert losses[-1] < 0.15 * losses[0]


class EndlessBatches:
    """Stands where the crop reader does: the same batch for ever."""

    def __init__(self, batch):
        self.batch = batch

    def __iter__(self):
        return self

    def __next__(self):
        return self.batch


def run(trainer, batch, monkeypatch, observe=lambda metrics, step, picture=None: None):
    monkeypatch.setattr(trainer_module, "training_batches", lambda *args, **kwargs: EndlessBatches(batch))
    validation = [CropPair(hr, lr) for hr, lr in zip(batch.hr, batch.lr, strict=True)]
    return trainer.train(None, Validation(validation), TrainParameters(log_every=2, validate_every=4), observe)


def test_a_training_goes_through_both_phases_and_reports(trainer, batch, monkeypatch):
    seen = []
    result = run(trainer, batch, monkeypatch, lambda metrics, step, picture=None: seen.append((step, metrics, picture)))
    assert list(result.generators) == ["srresnet", "srgan"]
    assert [(row["step"], row["phase"]) for row in result.history] == [
        (2, "pretraining"),
        (4, "pretraining"),
        (6, "adversarial"),
        (7, "adversarial"),
    ]
    assert ["validation_psnr_y" in row for row in result.history] == [False, True, False, True]
    assert [step for step, _, _ in seen] == [2, 4, 6, 7]
    assert all({"images_per_second", "step_seconds", "input_wait"} <= metrics.keys() for _, metrics, _ in seen)
    assert [picture is not None for _, _, picture in seen] == [False, True, False, True]
    lr = batch.lr[:1].astype(np.float32) / 255
    assert not np.allclose(result.generators["srresnet"](lr), result.generators["srgan"](lr))
    assert np.allclose(result.generators["srgan"](lr), trainer.generator(lr))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_trainings_are_equal_to_the_bit(features, batch, monkeypatch, precision):
    first, second = (
        run(Trainer(RECIPE, features, crop_size=48, precision=precision, seed=3), batch, monkeypatch) for _ in range(2)
    )
    assert first.history == second.history
    for name, model in first.generators.items():
        weights = zip(model.get_weights(), second.generators[name].get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in weights)


def test_a_loss_that_is_no_number_stops_the_training(features, batch, monkeypatch):
    recipe = RECIPE.model_copy(update={"pretraining": None})
    trainer = Trainer(recipe, features, crop_size=48, precision="float32", seed=3)
    weights = trainer.generator.get_weights()
    weights[0][:] = np.nan
    trainer.generator.set_weights(weights)
    with pytest.raises(UserError, match=r"loss became nan in adversarial at step 1; a lower learning rate"):
        run(trainer, batch, monkeypatch)


def test_learning_rates_over_a_phase():
    constant = learning_rate_schedule(LearningRate(initial=1e-3), 100)
    assert constant == 1e-3
    step = learning_rate_schedule(LearningRate(initial=1e-3, decay="step"), 100)
    assert [float(step(n)) for n in (0, 50, 51, 99)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    cosine = learning_rate_schedule(LearningRate(initial=1e-3, decay="cosine", warmup_steps=10), 110)
    assert [float(cosine(n)) for n in (0, 5, 10, 60, 110)] == pytest.approx([0, 5e-4, 1e-3, 5e-4, 0], abs=1e-9)
    plain = learning_rate_schedule(LearningRate(initial=1e-3, decay="cosine"), 100)
    assert [float(plain(n)) for n in (0, 50, 100)] == pytest.approx([1e-3, 5e-4, 0], abs=1e-9)


SUMMED = {
    "seed": {},
    "ledig2017": {
        "generator": {"filters": 4, "blocks": 2, "padding": "zero", "upsampling": "subpixel"},
        "pretraining": {"steps": 1},
    },
    "wgan_gp": {"discriminator": CRITIC, "adversarial": {"steps": 3, "objective": "wasserstein"}},
    "progressive": {"growth": {"steps": 1, "fade_steps": 1}},
    "perceptual": {
        "generator": {
            "filters": 4,
            "blocks": 2,
            "batch_normalization": False,
            "upsampling": "direct",
            "refinement": {"filters": 4},
        },
        "pretraining": {"steps": 1},
        "adversarial": {"steps": 3, "pixel_weight": 1.0, "smooth_area_weight": 1.0, "joint_batch": True, "shift": 16},
    },
}


@pytest.mark.parametrize("name", SUMMED)
def test_sums_of_three_and_more_have_one_order(batch, name):
    """An AddN starts with an input that it may write over; of two inputs that makes no difference.

    If nothing else takes the first one, that is it. If another operation does, it depends on whether that has run.
    """
    layers = SHALLOW | {"block2_conv2": 1.0}  # of two layers, whose gradients meet
    changed = {"adversarial": {"steps": 3}} | SUMMED[name]
    changed["adversarial"] = changed["adversarial"] | {"features": layers}
    features = FeatureExtractor("untrained", layers)
    trainer = Trainer(variant(**changed), features, crop_size=48, precision="float32", seed=3)
    for phase in trainer.phases():
        graph = phase.build_step().update.get_concrete_function(batch.hr, batch.lr).graph
        for operation in graph.get_operations():
            if operation.type == "AddN" and len(operation.inputs) > 2:
                users = operation.inputs[0].consumers()
                assert [user.name for user in users] == [operation.name], phase.name
