import h5py
import numpy as np
import pytest

from sr_pipeline.networks.weights_check import lpips_fault, vgg19_fault
from sr_pipeline.packaged import LPIPS_ALEX, packaged_weights


def test_the_packaged_file_is_sound():
    assert lpips_fault(packaged_weights(LPIPS_ALEX)) is None


def test_files_of_other_networks(tmp_path):
    with np.load(packaged_weights(LPIPS_ALEX)) as arrays:
        whole = dict(arrays)
    for left_out in ("conv4/bias", "lin3", "lin4"):
        np.savez(tmp_path / "part.npz", **{name: array for name, array in whole.items() if name != left_out})
        assert lpips_fault(tmp_path / "part.npz") == f"{left_out} is missing"
    with h5py.File(tmp_path / "other.weights.h5", "w") as file:
        file.create_dataset("layers/conv/vars/0", (3, 3, 3, 64))
    assert vgg19_fault(tmp_path / "other.weights.h5") == "15 of its 16 convolutions are missing"


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_what_is_no_such_file(tmp_path, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert lpips_fault(path)
    assert vgg19_fault(path)
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert lpips_fault(tmp_path / "one.npy")


def test_vgg19_as_keras_saves_it(tmp_path):
    import keras

    keras.applications.VGG19(include_top=False, weights=None).save_weights(tmp_path / "vgg.weights.h5")
    assert vgg19_fault(tmp_path / "vgg.weights.h5") is None
