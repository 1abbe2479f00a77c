import pytest

from sr_pipeline.crops import writing
from sr_pipeline.crops.layout import CropLayout
from sr_pipeline.crops.shards import ShardPlan, SourceImage


@pytest.mark.parametrize(("images", "crops", "workers"), [(0, 5, 1), (100, 5, 1), (2000, 0, 2), (2000, 100, 8)])
def test_processes_start_only_where_they_pay_off(monkeypatch, images, crops, workers):
    """About 4 ms per photograph and 0.15 ms per crop; a process pays off from 5 s on."""
    monkeypatch.setattr(writing, "cpu_count", lambda: 8)
    layout = CropLayout(seed=0, crop_size=96, crops_per_image=crops, scale=4)
    plan = ShardPlan("a", tuple(SourceImage(number, "x.png", "0") for number in range(images)), layout)
    assert writing._worthwhile_workers([plan] if images else []) == workers
