import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from sr_pipeline.training.setup import TrainingSetup
from sr_pipeline.training.state import begin
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


DIRECT = {"filters": 4, "blocks": 1, "batch_normalization": False, "upsampling": "direct"}


def test_a_refinement_is_added_to_a_pretrained_generator(features, crops_of_size, tmp_path):
    crops, file = crops_of_size(48, 11), tmp_path / "srresnet.keras"
    adversarial = {"steps": 1, "learning_rate": {"initial": 1e-3}}
    pretraining = {"steps": 7, "learning_rate": {"initial": 1e-3}}

    def train(network, **given):
        recipe = variant(generator=network, pretraining=pretraining | given, adversarial=adversarial)
        return train_on_crops(crops, TrainingSetup(recipe, features, crop_size=48, seed=3)).generators

    plain = train(DIRECT)["srresnet"]
    plain.save(file)
    result = train(DIRECT | {"refinement": {"filters": 4, "layers": 2}}, generator=file)["srgan"]
    for name in ("head_conv", "tail_conv"):
        started, ended = plain.get_layer(name).get_weights()[0], result.get_layer(name).get_weights()[0]
        assert 0 < np.abs(ended - started).max() < 0.01
    assert np.abs(result.get_layer("refinement_conv").get_weights()[0]).max() > 0
    result.save(file)
    with pytest.raises(UserError, match=r"srresnet\.keras is not a generator of this recipe's network"):
        train(DIRECT, generator=file)


@pytest.mark.parametrize("change", [{"blocks": 2}, {"padding": "zero"}, {"output": "linear"}])
def test_a_pretrained_generator_of_another_network_is_refused(features, tmp_path, change):
    generator, file = {"filters": 4, "blocks": 1}, tmp_path / "other.keras"
    build_generator(GeneratorParameters(**generator | change)).save(file)
    recipe = variant(generator=generator, pretraining={"steps": 7, "generator": file}, adversarial={"steps": 1})
    with pytest.raises(UserError, match=r"other\.keras is not a generator of this recipe's network"):
        begin(TrainingSetup(recipe, features, crop_size=48))
