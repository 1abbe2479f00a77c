import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.crops import cut_pairs
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.training import trainer as trainer_module
from sr_pipeline.training.input import CropPair
from sr_pipeline.training.recipes import LearningRate, Recipe, TrainParameters
from sr_pipeline.training.trainer import Trainer, learning_rate_schedule

RECIPE = Recipe.model_validate(
    {
        "generator": {"filters": 8, "blocks": 1, "batch_normalization": False},
        "discriminator": {"filters": 4, "dense": 4},
        "batch_size": 2,
        "pretraining": {"steps": 4, "learning_rate": {"initial": 1e-3}},
        "adversarial": {"steps": 3, "feature_scale": 0.08, "weight": 1e-3},
    }
)


@pytest.fixture(scope="module")
def features():
    return FeatureExtractor("untrained")


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
    build = trainer_module.build_optimizer

    def build_with_zero_rate(learning_rate, steps, model):
        optimizer = build(learning_rate, steps, model)
        if model is getattr(trainer, frozen):
            optimizer.learning_rate = 0.0
        return optimizer

    monkeypatch.setattr(trainer_module, "build_optimizer", build_with_zero_rate)
    other = "discriminator" if frozen == "generator" else "generator"
    before = {name: [w.numpy() for w in getattr(trainer, name).trainable_variables] for name in (frozen, other)}
    trainer.adversarial_step(10, LearningRate())(batch.hr, batch.lr)
    after = {name: [w.numpy() for w in getattr(trainer, name).trainable_variables] for name in (frozen, other)}
    assert all(np.array_equal(a, b) for a, b in zip(before[frozen], after[frozen], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(before[other], after[other], strict=True))


@pytest.mark.parametrize("term", ["perceptual_loss", "adversarial_loss"])
def test_each_loss_term_reaches_every_generator_weight(trainer, batch, term):
    with tf.GradientTape() as tape:
        sr = trainer.generator(trainer_module.unit(batch.lr), training=True)
        target = trainer_module.signed(batch.hr)
        losses = {
            "perceptual_loss": trainer_module.perceptual_loss(trainer.features(target), trainer.features(sr)),
            "adversarial_loss": trainer_module.generator_adversarial_loss(trainer.discriminator(sr, training=True)),
        }
    gradients = tape.gradient(losses[term], trainer.generator.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


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


def run(trainer, batch, monkeypatch, observe=lambda metrics, step: None):
    monkeypatch.setattr(trainer_module, "training_batches", lambda *args, **kwargs: EndlessBatches(batch))
    validation = [CropPair(hr, lr) for hr, lr in zip(batch.hr, batch.lr, strict=True)]
    return trainer.train(None, validation, TrainParameters(log_every=2, validate_every=4), observe)


def test_a_training_goes_through_both_phases_and_reports(trainer, batch, monkeypatch):
    seen = []
    result = run(trainer, batch, monkeypatch, lambda metrics, step: seen.append((step, metrics)))
    assert list(result.generators) == ["srresnet", "srgan"]
    assert [(row["step"], row["phase"]) for row in result.history] == [
        (2, "pretraining"),
        (4, "pretraining"),
        (6, "adversarial"),
        (7, "adversarial"),
    ]
    assert ["validation_psnr_y" in row for row in result.history] == [False, True, False, True]
    assert {step for step, _ in seen} == {2, 4, 6, 7}
    assert any("images_per_second" in metrics for _, metrics in seen)
    lr = batch.lr[:1].astype(np.float32) / 255
    assert not np.allclose(result.generators["srresnet"](lr), result.generators["srgan"](lr))
    assert np.allclose(result.generators["srgan"](lr), trainer.generator(lr))


def test_equal_trainings_are_equal_to_the_bit(features, batch, monkeypatch):
    for precision in ("float32", "bfloat16"):
        first, second = (
            run(Trainer(RECIPE, features, crop_size=48, precision=precision, seed=3), batch, monkeypatch)
            for _ in range(2)
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
