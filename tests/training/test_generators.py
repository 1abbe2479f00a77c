import numpy as np

from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from sr_pipeline.training.setup import TrainingSetup
from tests.training.tiny import train_on_crops, variant


def test_equal_phases_hold_between_the_phases(features, crops_of_size, tmp_path):
    generator = {"filters": 8, "blocks": 1, "batch_normalization": False, "upsampling": "direct"}
    build_generator(GeneratorParameters(**generator), seed=5).save(tmp_path / "unequal.keras")
    recipe = variant(
        generator=generator | {"equal_phases": True},
        pretraining={"steps": 1, "generator": tmp_path / "unequal.keras"},
        adversarial={"steps": 2, "interpolation": 0.5},
    )
    setup = TrainingSetup(recipe, features, crop_size=48, seed=3)
    result = train_on_crops(crops_of_size(48, 4), setup)
    flat = np.full((1, 20, 20, 3), 0.6, np.float32)
    for model in (result.generators["srgan"], result.best):
        assert np.ptp(model(flat)[0, 36:44, 36:44].numpy(), axis=(0, 1)).max() < 1e-5
    assert np.ptp(result.generators["srresnet"](flat)[0, 36:44, 36:44].numpy(), axis=(0, 1)).max() > 1e-2
