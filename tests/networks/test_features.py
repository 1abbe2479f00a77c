import subprocess
import sys

import keras
import numpy as np
import pytest

from sr_pipeline import packaged
from sr_pipeline.errors import UserError
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.parameters import FEATURE_LAYERS
from tests.conftest import PATIENCE


def test_untrained_features_follow_the_seed_and_stay_frozen(rng):
    images = rng.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    first, same, other = (FeatureExtractor("untrained", seed=s) for s in (0, 0, 1))
    features = first(images)[0].numpy()
    assert features.shape == (1, 2, 2, 512)
    assert np.array_equal(features, same(images)[0])
    assert not np.array_equal(features, other(images)[0])
    assert first.model.trainable_variables == []
    assert 1 < features.std() < 1000  # He initialization neither kills nor blows up the signal


def test_inputs_are_scaled_as_vgg19_wants_them(rng):
    """0–255, blue first, ImageNet's means removed: compared with Keras' own preprocessing of 8-bit images."""
    image = rng.integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    extractor = FeatureExtractor("untrained")
    expected = extractor.model(keras.applications.vgg19.preprocess_input(image.copy()))["block5_conv4"]
    assert np.allclose(extractor(image / 127.5 - 1)[0], expected, rtol=1e-3, atol=1e-2)


def test_several_layers_come_in_the_order_asked_for(rng):
    images = rng.uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    features = FeatureExtractor("untrained", ["block5_conv4", "block2_conv2"])(images)
    assert [tuple(feature.shape) for feature in features] == [(1, 2, 2, 512), (1, 16, 16, 128)]
    assert np.array_equal(features[0], FeatureExtractor("untrained")(images)[0])


def test_a_missing_weights_file(tmp_path):
    with pytest.raises(
        UserError, match=r"no\.weights\.h5 is missing; set perceptual\.weights to 'packaged'.*'imagenet'.*'untrained'"
    ):
        FeatureExtractor(str(tmp_path / "no.weights.h5"))


def test_a_file_that_holds_no_vgg_weights(tmp_path):
    file = tmp_path / "bad.weights.h5"
    file.write_text("not HDF5")
    with pytest.raises(UserError, match="does not hold the weights of VGG19"):
        FeatureExtractor(str(file))


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    """The download is tried for real, at an address where nobody listens."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    code = (
        "import keras.src.applications.vgg19 as v\n"
        "v.WEIGHTS_PATH_NO_TOP = 'http://127.0.0.1:9/weights.h5'\n"
        "from sr_pipeline.errors import UserError\n"
        "from sr_pipeline.networks.features import FeatureExtractor\n"
        "try:\n    FeatureExtractor('imagenet')\nexcept UserError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "cannot be downloaded" in done.stdout
    assert "'untrained'" in done.stdout


def test_features_from_a_weights_file(shared, tmp_path, photograph):
    file = tmp_path / "vgg19.weights.h5"
    subprocess.run([sys.executable, str(shared / "tools/expand_vgg19.py"), str(file)], check=True, capture_output=True)
    extractor = FeatureExtractor(str(file))
    image = photograph[np.newaxis, :96, :96].astype(np.float32) / 127.5 - 1
    features = extractor(image)[0].numpy()
    assert np.mean(features == 0) > 0.5  # after a ReLU, and sparse as trained features are
    assert not np.allclose(features, FeatureExtractor("untrained")(image)[0])


def test_the_packaged_weights_are_those_of_imagenet(shared, tmp_path, photograph):
    """To what 16 bits hold of them: a thousandth of the features' size."""
    file = tmp_path / "vgg19.weights.h5"
    subprocess.run([sys.executable, str(shared / "tools/expand_vgg19.py"), str(file)], check=True, capture_output=True)
    layers = ("block1_conv2", "block2_conv2")
    image = photograph[np.newaxis, :96, :96].astype(np.float32) / 127.5 - 1
    packaged_features, exact = (FeatureExtractor(weights, layers)(image) for weights in ("packaged", str(file)))
    for ours, theirs in zip(packaged_features, exact, strict=True):
        assert np.sqrt(np.mean((ours - theirs) ** 2)) < 1e-3 * np.sqrt(np.mean(theirs**2))


def test_the_packaged_weights_say_where_they_come_from():
    for name, author in ((packaged.VGG19, "Simonyan"), (packaged.LPIPS_ALEX, "Zhang")):
        with np.load(packaged.packaged_weights(name)) as arrays:
            attribution = str(arrays["attribution"])
        assert author in attribution
        assert "CC BY 4.0" in attribution or "BSD" in attribution


def test_layers_that_are_not_packaged_are_refused():
    with pytest.raises(UserError, match=r"block3_conv4 is wanted.*'imagenet'.*perceptual\.layer=block2_conv2"):
        FeatureExtractor("packaged", ["block1_conv2", "block3_conv4"])


@pytest.mark.parametrize("layer", FEATURE_LAYERS)
def test_the_layers_are_those_of_keras(layer):
    """Names, shapes and what they compute."""
    whole = keras.applications.VGG19(include_top=False, weights=None)
    ours = FeatureExtractor("untrained", [layer])
    for mine in ours.model.layers:
        if mine.weights:
            whole.get_layer(mine.name).set_weights(mine.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    expected = keras.Model(whole.input, whole.get_layer(layer).output)(images)
    assert np.array_equal(ours.model(images)[layer], expected)
