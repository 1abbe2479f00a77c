import pytest

from sr_pipeline.training.optimizers import learning_rate_schedule
from sr_pipeline.training.recipes import LearningRate


def test_learning_rates_over_a_phase():
    constant = learning_rate_schedule(LearningRate(initial=1e-3), 100)
    assert constant == 1e-3
    step = learning_rate_schedule(LearningRate(initial=1e-3, decay="step"), 100)
    assert [float(step(n)) for n in (0, 50, 51, 99)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])
    cosine = learning_rate_schedule(LearningRate(initial=1e-3, decay="cosine", warmup_steps=10), 110)
    assert [float(cosine(n)) for n in (0, 5, 10, 60, 110)] == pytest.approx([0, 5e-4, 1e-3, 5e-4, 0], abs=1e-9)
    plain = learning_rate_schedule(LearningRate(initial=1e-3, decay="cosine"), 100)
    assert [float(plain(n)) for n in (0, 50, 100)] == pytest.approx([1e-3, 5e-4, 0], abs=1e-9)
