import pytest

from sr_pipeline import packaged


@pytest.mark.parametrize("name", [packaged.VGG19, packaged.LPIPS_ALEX, packaged.NIQE])
def test_weights_are_packaged_or_in_a_file(name, tmp_path):
    assert packaged.weights_file("packaged", name) == packaged.packaged_weights(name)
    assert packaged.weights_file(str(tmp_path / "a.npz"), name) == tmp_path / "a.npz"
