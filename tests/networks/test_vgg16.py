import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.networks.vgg16 import Dists, LpipsVgg, Vgg16Weights

POOLED_BEFORE = (2, 4, 7, 10)  # convolutions that begin a block


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(3)
    return rng.uniform(-1, 1, (3, 32, 36, 3)).astype(np.float32)


def convolved(x, kernel, bias):
    """Of one picture (h, w, c), with zeros outside, by NumPy."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))  # (h, w, c, 3, 3)
    return np.maximum(np.einsum("hwcij,ijck->hwk", windows, kernel, optimize=True) + bias, 0)


def largest(x):
    height, width = (edge // 2 for edge in x.shape[:2])
    return x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).max(axis=(1, 3))


def root_of_mean_square(x):
    """Under a Hann window of 3x3 at every other position, zeros outside."""
    window = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(x**2, ((1, 1), (1, 1), (0, 0)))
    rows, columns = (range(0, edge, 2) for edge in x.shape[:2])
    means = [[np.tensordot(window, padded[i : i + 3, j : j + 3], 2) for j in columns] for i in rows]
    return np.sqrt(np.array(means) + 1e-12)


def features(x, arrays, pool):
    found = []
    for number in range(13):
        if number in POOLED_BEFORE:
            found.append(x)
            x = pool(x)
        x = convolved(x, arrays[f"conv{number}/kernel"], arrays[f"conv{number}/bias"])
    return [*found, x]


def test_lpips_follows_equation_1(vgg16_file, pictures):
    """Zhang et al. 2018, by NumPy in 64 bits."""
    arrays = {name: array.astype(float) for name, array in np.load(vgg16_file).items()}
    prepared = (pictures - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
    units = [
        [layer / np.linalg.norm(layer, axis=-1, keepdims=True).clip(1e-10) for layer in features(one, arrays, largest)]
        for one in prepared
    ]
    expected = [
        sum(((a - b) ** 2 @ arrays[f"lin{i}"]).mean() for i, (a, b) in enumerate(zip(units[0], other, strict=True)))
        for other in units
    ]
    found = LpipsVgg(Vgg16Weights(vgg16_file))(pictures[:1], pictures).numpy()
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert found[0] == 0


def test_dists_follows_equations_4_to_7(vgg16_file, pictures):
    """Ding et al. 2020, by NumPy in 64 bits: means for texture, covariances for structure."""
    arrays = {name: array.astype(float) for name, array in np.load(vgg16_file).items()}
    values = (pictures.astype(float) + 1) / 2
    prepared = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    layers = [[value, *features(one, arrays, root_of_mean_square)] for value, one in zip(values, prepared, strict=True)]

    def similarity(first, second):
        columns = [[layer.reshape(-1, layer.shape[-1]) for layer in layers] for layers in (first, second)]
        texture, structure = [], []
        for a, b in zip(*columns, strict=True):
            texture.append((2 * a.mean(0) * b.mean(0) + 1e-6) / (a.mean(0) ** 2 + b.mean(0) ** 2 + 1e-6))
            covariance = ((a - a.mean(0)) * (b - b.mean(0))).mean(0)
            structure.append((2 * covariance + 1e-6) / (a.var(0) + b.var(0) + 1e-6))
        weighted = arrays["alpha"] @ np.concatenate(texture) + arrays["beta"] @ np.concatenate(structure)
        return weighted / (arrays["alpha"].sum() + arrays["beta"].sum())

    expected = [1 - similarity(layers[0], other) for other in layers]
    found = Dists(Vgg16Weights(vgg16_file))(pictures[:1], pictures).numpy()
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[1] > 0.01


def test_a_file_that_holds_something_else(tmp_path):
    (tmp_path / "bad.npz").write_text("nothing")
    with pytest.raises(UserError, match=r"bad\.npz does not hold the weights of VGG16 for LPIPS-VGG and DISTS"):
        Vgg16Weights(tmp_path / "bad.npz")
