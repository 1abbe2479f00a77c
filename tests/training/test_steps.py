import numpy as np
import pytest
import tensorflow as tf

from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.training.objectives import discriminator_loss, generator_adversarial_loss, perceptual_loss
from sr_pipeline.training.optimizers import build_optimizer
from sr_pipeline.training.phases import adversarial_step, build_phases, pretraining_step
from sr_pipeline.training.recipes import AdamParameters, LearningRate
from sr_pipeline.training.steps import TrainableNetwork, discriminator_logits, to_minus_one_one, to_zero_one, window_of
from tests.conftest import SHALLOW
from tests.training.tiny import CRITIC, changed, tiny_training, variant


@pytest.mark.parametrize("term", ["perceptual_loss", "adversarial_loss"])
def test_each_loss_term_reaches_every_generator_weight(tiny, batch, term):
    with tf.GradientTape() as tape:
        sr = tiny.state.generator(to_zero_one(batch.lr), training=True)
        target = to_minus_one_one(batch.hr)
        losses = {
            "perceptual_loss": perceptual_loss(tiny.setup.features(target), tiny.setup.features(sr), [1.0]),
            "adversarial_loss": generator_adversarial_loss(tiny.state.discriminator(sr, training=True)),
        }
    gradients = tape.gradient(losses[term], tiny.state.generator.trainable_variables)
    assert all(gradient is not None and np.abs(gradient).max() > 0 for gradient in gradients)


@pytest.mark.parametrize("loss", ["pixel", "smooth_area"])
def test_a_weighted_loss_is_part_of_the_generators(features, batch, loss):
    recipes = [variant(adversarial={"steps": 3, f"{loss}_weight": weight}) for weight in (0.0, 5.0)]
    plain, weighted = (
        adversarial_step(*tiny_training(recipe, features), 10, LearningRate())(batch.hr, batch.lr) for recipe in recipes
    )
    assert f"{loss}_loss" not in plain
    assert weighted[f"{loss}_loss"] > 0
    assert float(weighted["generator_loss"]) == pytest.approx(
        float(plain["generator_loss"] + 5 * weighted[f"{loss}_loss"]), rel=1e-5
    )


def test_shifted_windows_are_the_same_of_both_images_and_move(features, batch):
    recipe = variant(adversarial={"steps": 3, "shift": 32})
    tiny = tiny_training(recipe, features)
    assert tiny.state.discriminator.input_shape == (None, 16, 16, 3)
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
    losses = adversarial_step(*tiny, 10, LearningRate())(batch.hr, batch.lr)
    assert np.isfinite(float(losses["generator_loss"]))


def test_only_a_joint_batch_shows_the_discriminator_which_images_have_less_contrast(tiny, batch):
    """In a batch of its own, normalization makes a picture of half the contrast equal to the original."""
    network = TrainableNetwork(
        lambda images, count: tiny.state.discriminator(images, training=True),
        [tiny.state.discriminator],
        build_optimizer(LearningRate(), 1, AdamParameters()),
    )
    hr, count = to_minus_one_one(batch.hr), tf.constant(0)
    alone, together = (
        float(tf.norm(tf.subtract(*discriminator_logits(network, hr, 0.5 * hr, count, joint=joint))))
        for joint in (False, True)
    )
    assert alone < 0.1 * together


def test_a_wasserstein_step_moves_both_networks(features, batch):
    recipe = variant(discriminator=CRITIC, adversarial={"steps": 3, "objective": "wasserstein"})
    tiny = tiny_training(recipe, features)
    generator, critic = tiny.state.generator.get_weights(), tiny.state.discriminator.get_weights()
    step = adversarial_step(*tiny, 10, LearningRate())
    losses = {name: float(loss) for name, loss in step(batch.hr, batch.lr).items()}
    assert all(changed(generator, tiny.state.generator))
    assert any(changed(critic, tiny.state.discriminator))
    assert losses["adversarial_loss"] == pytest.approx(-losses["critic_sr"])
    assert losses["discriminator_loss"] == pytest.approx(
        losses["critic_sr"] - losses["critic_hr"] + 10 * losses["gradient_penalty"], rel=1e-5
    )


def test_gradient_norms_are_those_of_the_gradients(tiny, batch):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(
            tf.square(to_minus_one_one(batch.hr) - tiny.state.generator(to_zero_one(batch.lr), training=True))
        )
    expected = tf.linalg.global_norm(tape.gradient(loss, tiny.state.generator.trainable_variables))
    losses = pretraining_step(*tiny, 10, LearningRate())(batch.hr, batch.lr)
    assert float(losses["generator_gradient_norm"]) == pytest.approx(float(expected), rel=1e-4)


def test_the_discriminators_gradient_is_that_of_its_own_loss(tiny, batch):
    generator, discriminator = tiny.state.generator, tiny.state.discriminator
    images = to_minus_one_one(batch.hr), generator(to_zero_one(batch.lr), training=True)
    with tf.GradientTape() as tape:
        loss = discriminator_loss(*(discriminator(each, training=True) for each in images))
    expected = tf.linalg.global_norm(tape.gradient(loss, discriminator.trainable_variables))
    losses = adversarial_step(*tiny, 10, LearningRate())(batch.hr, batch.lr)
    assert float(losses["discriminator_loss"]) == pytest.approx(float(loss), rel=1e-4)
    assert float(losses["discriminator_gradient_norm"]) == pytest.approx(float(expected), rel=1e-3)


def test_the_ema_follows_the_weights(features, batch):
    """After t updates the decay is min(0.99, (1 + t) / (10 + t)) and the rest is the new weights' share."""
    tiny = tiny_training(variant(ema_decay=0.99), features)
    step = pretraining_step(*tiny, 10, LearningRate(initial=1e-2))
    expected = tiny.state.generator.get_weights()
    for t in (1, 2):
        step(batch.hr, batch.lr)
        decay = (1 + t) / (10 + t)
        new = tiny.state.generator.get_weights()
        expected = [decay * mean + (1 - decay) * weight for mean, weight in zip(expected, new, strict=True)]
    for mean, value in zip(tiny.state.ema.get_weights(), expected, strict=True):
        assert np.allclose(mean, value, atol=1e-6)
    assert tiny.state.resulting_generator is tiny.state.ema


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
    parts = {"adversarial": {"steps": 3}} | SUMMED[name]
    parts["adversarial"] = parts["adversarial"] | {"features": layers}
    features = FeatureExtractor("untrained", layers)
    tiny = tiny_training(variant(**parts), features)
    for phase in build_phases(*tiny):
        graph = phase.build_step().update.get_concrete_function(batch.hr, batch.lr).graph
        for operation in graph.get_operations():
            if operation.type == "AddN" and len(operation.inputs) > 2:
                users = operation.inputs[0].consumers()
                assert [user.name for user in users] == [operation.name], phase.name
