"""One update of the networks in each phase, as functions of a batch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.training_layers import deterministic_split
from sr_pipeline.training.objectives import (
    critic_loss,
    discriminator_loss,
    generator_adversarial_loss,
    generator_wasserstein_loss,
    gradient_penalty,
    perceptual_loss,
    pixel_loss,
    smooth_area_loss,
    total,
)
from sr_pipeline.training.recipes import AdversarialParameters

Losses = dict[str, tf.Tensor]
Update = Callable[[tf.Tensor, tf.Tensor], Losses]
# Takes the number of updates so far beside the images, by which growing networks fade in.
NetworkCall = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


@dataclass
class TrainableNetwork:
    """A network that learns.

    Attributes:
        call: the network in training, given images and the number of updates so far.
        models: the models whose variables learn.
        optimizer: of those variables.
        ema: a twin of the first model that holds the moving average of its weights.
        ema_decay: of that moving average.
    """

    call: NetworkCall
    models: list[keras.Model]
    optimizer: keras.optimizers.Optimizer
    ema: keras.Model | None = None
    ema_decay: float = 0.0
    variables: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        self.variables = trainable_variables(self.models)
        self.optimizer.build(self.variables)

    @property
    def iterations(self) -> tf.Tensor:
        """Number of updates so far."""
        return tf.convert_to_tensor(self.optimizer.iterations)

    def scaled(self, loss: tf.Tensor) -> tf.Tensor:
        """``loss`` as the tape has to see it: scaled up against underflow where the optimizer wants that."""
        return self.optimizer.scale_loss(loss) if self._scales else loss

    def learn(self, tape: tf.GradientTape, scaled_loss: tf.Tensor) -> tf.Tensor:
        """Make one update, and return the gradient's norm over all variables.

        On several devices the gradients are averaged, which is the gradient of the whole batch's mean.
        """
        gradients = tape.gradient(scaled_loss, self.variables)
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        if replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
        norm = tf.linalg.global_norm(gradients)
        if self._scales:
            norm /= tf.convert_to_tensor(self.optimizer.dynamic_scale)
        # Keras adds up the gradients of all devices (again).
        parts = [gradient / replicas for gradient in gradients] if replicas > 1 else gradients
        self.optimizer.apply(parts, self.variables)
        if self.ema is not None:
            _move_ema(self.ema, self.models[0], self.ema_decay, self.iterations)
        return norm

    @property
    def _scales(self) -> bool:
        return isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)


def pretraining_update(generator: TrainableNetwork) -> Update:
    """Update the generator on mean squared error; takes uint8 batches (hr, lr)."""

    def update(hr: tf.Tensor, lr: tf.Tensor) -> Losses:
        with tf.GradientTape() as tape:
            loss = pixel_loss(to_minus_one_one(hr), generator.call(to_zero_one(lr), generator.iterations))
            scaled = generator.scaled(loss)
        rate = learning_rate_of(generator)
        return {
            "pixel_loss": loss,
            "generator_gradient_norm": generator.learn(tape, scaled),
            "learning_rate": rate,
        }

    return update


@dataclass(frozen=True)
class GanStep:
    """What a generator and a discriminator compete in.

    Attributes:
        generator: from LR to SR.
        discriminator: from images to logits or, with a Wasserstein objective, scores.
        features: the VGG19 of the perceptual loss.
        prepare: makes the target from HR in [-1, 1] and the number of updates so far.
        parameters: losses and their weights.
        seed: of the windows' places, and of alpha in the gradient penalty.
    """

    generator: TrainableNetwork
    discriminator: TrainableNetwork
    features: FeatureExtractor
    prepare: NetworkCall
    parameters: AdversarialParameters
    seed: int


def adversarial_update(gan: GanStep) -> Update:
    """Update generator and discriminator at once; takes uint8 batches (hr, lr).

    Both losses come from the same forward passes. Each gradient is taken with respect to its own
    network's variables only, so neither update reaches into the other network or into VGG.
    """
    generator, discriminator, parameters = gan.generator, gan.discriminator, gan.parameters

    def update(hr: tf.Tensor, lr: tf.Tensor) -> Losses:
        count = generator.iterations
        whole_target = gan.prepare(to_minus_one_one(hr), count)
        window = window_of(whole_target.shape[1], parameters, gan.seed, count)
        target = window(whole_target)
        target_features = gan.features(target)
        with tf.GradientTape(persistent=True) as tape:
            whole_sr, pixels_of_sr = deterministic_split(generator.call(to_zero_one(lr), count))
            sr = window(whole_sr)
            hr_logits, sr_logits = discriminator_logits(discriminator, target, sr, count, joint=parameters.joint_batch)
            perceptual = perceptual_loss(
                target_features, gan.features(sr), list(parameters.features.values()), parameters.feature_scale
            )
            adversarial_loss = _adversarial_loss(parameters, sr_logits)
            pixels, weighted = _pixel_losses(parameters, whole_target, pixels_of_sr)
            generator_loss = total([perceptual, parameters.weight * adversarial_loss, *weighted])
            of_discriminator, details = _discriminator_loss(gan, (target, hr_logits), (sr, sr_logits), count)
            scaled_generator_loss = generator.scaled(generator_loss)
            scaled_discriminator_loss = discriminator.scaled(of_discriminator)
        rate = learning_rate_of(generator)
        return {
            "perceptual_loss": perceptual,
            **pixels,
            "adversarial_loss": adversarial_loss,
            "generator_loss": generator_loss,
            "discriminator_loss": of_discriminator,
            **details,
            "generator_gradient_norm": generator.learn(tape, scaled_generator_loss),
            "discriminator_gradient_norm": discriminator.learn(tape, scaled_discriminator_loss),
            "learning_rate": rate,
        }

    return update


def to_zero_one(image: tf.Tensor) -> tf.Tensor:
    """8-bit to [0, 1], the range of low-resolution input."""
    return tf.cast(image, tf.float32) / 255.0


def to_minus_one_one(image: tf.Tensor) -> tf.Tensor:
    """8-bit to [-1, 1], the range of high-resolution images."""
    return tf.cast(image, tf.float32) / 127.5 - 1.0


def trainable_variables(models: list[keras.Model]) -> list[Any]:
    """Trainable variables of models that may share layers, each once."""
    return list({id(v): v for model in models for v in model.trainable_variables}.values())


def learning_rate_of(network: TrainableNetwork) -> tf.Tensor:
    """The learning rate of the next update."""
    return tf.convert_to_tensor(network.optimizer.learning_rate)


def discriminator_logits(
    discriminator: TrainableNetwork, hr: tf.Tensor, sr: tf.Tensor, count: tf.Tensor, *, joint: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The discriminator's logits (n, 1) of photographs and of as many generated images; ``joint``: in one batch."""
    if joint:
        of_hr, of_sr = tf.split(discriminator.call(tf.concat([hr, sr], 0), count), 2)
        return of_hr, of_sr
    return discriminator.call(hr, count), discriminator.call(sr, count)


def window_of(
    size: int, parameters: AdversarialParameters, seed: int, count: tf.Tensor
) -> Callable[[tf.Tensor], tf.Tensor]:
    """What cuts the same part out of all images (n, size, size, 3): its place is a function of seed and step."""
    shift = parameters.shift
    if not shift:
        return lambda images: images
    corner = tf.random.stateless_uniform((2,), _key(seed, count), maxval=shift + 1, dtype=tf.int32)
    row, column = tf.unstack(corner)
    return lambda images: tf.slice(images, [0, row, column, 0], [-1, size - shift, size - shift, 3])


def _pixel_losses(parameters: AdversarialParameters, hr: tf.Tensor, sr: tf.Tensor) -> tuple[Losses, list[tf.Tensor]]:
    """The losses that compare pixels, by name, and as they count."""
    losses: Losses = {}
    weighted = []
    if parameters.pixel_weight:
        losses["pixel_loss"] = pixel_loss(hr, sr)
        weighted.append(parameters.pixel_weight * losses["pixel_loss"])
    if parameters.smooth_area_weight:
        losses["smooth_area_loss"] = smooth_area_loss(hr, sr, parameters.smooth_area_contrast)
        weighted.append(parameters.smooth_area_weight * losses["smooth_area_loss"])
    return losses, weighted


def _adversarial_loss(parameters: AdversarialParameters, sr_logits: tf.Tensor) -> tf.Tensor:
    """The generator's adversarial loss."""
    if parameters.objective == "wasserstein":
        return generator_wasserstein_loss(sr_logits)
    return generator_adversarial_loss(sr_logits)


def _discriminator_loss(
    gan: GanStep, hr: tuple[tf.Tensor, tf.Tensor], sr: tuple[tf.Tensor, tf.Tensor], count: tf.Tensor
) -> tuple[tf.Tensor, Losses]:
    """The discriminator's loss, and what else there is to report of it; ``hr`` and ``sr`` are (images, logits)."""
    hr_mean, sr_mean = tf.reduce_mean(hr[1]), tf.reduce_mean(sr[1])
    if gan.parameters.objective == "logistic":
        probabilities = {
            "discriminator_hr": tf.reduce_mean(tf.sigmoid(hr[1])),
            "discriminator_sr": tf.reduce_mean(tf.sigmoid(sr[1])),
        }
        return discriminator_loss(hr[1], sr[1]), probabilities
    penalty = gradient_penalty(
        lambda images: gan.discriminator.call(images, count),
        hr[0],
        sr[0],
        _alphas(tf.shape(hr[0])[0], gan.seed, count),
    )
    details = {"critic_hr": hr_mean, "critic_sr": sr_mean, "gradient_penalty": penalty}
    return critic_loss(hr[1], sr[1]) + gan.parameters.gradient_penalty * penalty, details


def _alphas(size: tf.Tensor, seed: int, count: tf.Tensor) -> tf.Tensor:
    """Uniform numbers (size, 1, 1, 1): a function of seed and step, and each device's part of the whole batch's."""
    context = tf.distribute.get_replica_context()
    every = tf.random.stateless_uniform((size * context.num_replicas_in_sync, 1, 1, 1), _key(seed, count))
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * size
    return every[first : first + size]


def _key(seed: int, count: tf.Tensor) -> tf.Tensor:
    """Seed of a stateless random operation in one step."""
    return tf.stack([tf.constant(seed, tf.int32), tf.cast(count, tf.int32)])


def _move_ema(ema: keras.Model, model: keras.Model, decay: float, count: tf.Tensor) -> None:
    """The update ema = d·ema + (1 − d)·weights, with d = min(decay, (1 + t) / (10 + t)) after t updates.

    The smaller d of the beginning, as in TensorFlow's ExponentialMovingAverage, lets go of the initial weights.
    """
    updates = tf.cast(count, tf.float32)
    alpha = 1.0 - tf.minimum(decay, (1.0 + updates) / (10.0 + updates))
    for mean, value in zip(ema.weights, model.weights, strict=True):
        mean.assign(mean + alpha * (tf.convert_to_tensor(value) - mean))
