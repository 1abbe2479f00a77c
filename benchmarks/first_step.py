"""A program: make the first adversarial step of recipe ``seed`` in a new process, and report the memory it took."""

import json
import resource
import sys

import numpy as np

from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.precision import dtype_policy, resolve_precision
from sr_pipeline.training.phases import adversarial_step
from sr_pipeline.training.recipes import LearningRate, Recipe
from sr_pipeline.training.setup import TrainingSetup
from sr_pipeline.training.state import begin

if __name__ == "__main__":
    precision = resolve_precision("auto")
    features = FeatureExtractor("untrained", dtype=dtype_policy(precision))
    setup = TrainingSetup(Recipe(), features, crop_size=96, precision=precision)
    step = adversarial_step(setup, begin(setup), 1000, LearningRate())
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (setup.recipe.batch_size, 96, 96, 3), np.uint8)
    float(step(hr, hr[:, ::4, ::4])["generator_loss"])
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"peak_memory_gb": peak_kb / 1e6}))
