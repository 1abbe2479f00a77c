import numpy as np

from sr_pipeline.imaging.sheets import Panel, Row, busiest_detail, comparison_sheet, crop_grid


def test_the_busiest_detail_is_where_something_is(rng):
    image = np.full((200, 300, 3), 128, np.uint8)
    image[80:120, 200:240] = rng.integers(0, 256, (40, 40, 3))
    top, left = busiest_detail(image, 48)
    assert 60 < top + 24 < 140
    assert 180 < left + 24 < 260


def test_a_picture_smaller_than_the_detail(photograph):
    assert busiest_detail(photograph[:40, :40], 96) == (0, 0)


def test_sheets_are_rgb_pictures(photograph):
    panels = [Panel("bicubic", "1 dB", photograph), Panel("HR", "", photograph)]
    sheet = comparison_sheet([Row("chelsea", photograph, panels)] * 2, 96)
    grid = crop_grid({"LR": [photograph[:96, :96]] * 3, "HR": [photograph[:96, :96]] * 3})
    for picture in (sheet, grid):
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 20
