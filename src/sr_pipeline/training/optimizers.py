"""Optimizers: Adam with the learning rate of a phase."""

import keras

from sr_pipeline.training.recipes import AdamParameters, LearningRate


def build_optimizer(
    learning_rate: LearningRate, steps: int, adam: AdamParameters, *, scales_loss: bool = False
) -> keras.optimizers.Optimizer:
    """Adam with the learning rate of a phase of ``steps`` steps, with dynamic loss scaling where asked for."""
    optimizer = keras.optimizers.Adam(learning_rate_schedule(learning_rate, steps), adam.beta_1, adam.beta_2)
    return keras.optimizers.LossScaleOptimizer(optimizer) if scales_loss else optimizer


def learning_rate_schedule(
    learning_rate: LearningRate, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Keras' schedule for ``learning_rate`` over ``steps`` steps."""
    warmup = min(learning_rate.warmup_steps, steps - 1)
    schedules = keras.optimizers.schedules
    if learning_rate.decay == "cosine":
        start = 0.0 if warmup else learning_rate.initial
        return schedules.CosineDecay(
            start, max(steps - warmup, 1), warmup_target=learning_rate.initial if warmup else None, warmup_steps=warmup
        )
    boundaries, values = [], [learning_rate.initial]
    if learning_rate.decay == "step":
        boundaries, values = [steps // 2], [learning_rate.initial, learning_rate.initial / 10]
    return schedules.PiecewiseConstantDecay(boundaries, values) if boundaries else learning_rate.initial
