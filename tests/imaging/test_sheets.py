import numpy as np

from sr_pipeline.imaging.sheets import Panel, Row, comparison_sheet, crop_grid, error_sheet, most_different_crop


def test_the_disputed_detail_is_where_pictures_differ(rng):
    image = rng.integers(0, 256, (200, 300, 3), np.uint8)
    other = image.copy()
    other[80:120, 200:240] = 255 - other[80:120, 200:240]
    top, left = most_different_crop([image, image, other], 48)
    assert 60 < top + 24 < 140
    assert 180 < left + 24 < 260


def test_a_picture_smaller_than_the_detail(photograph):
    assert most_different_crop([photograph[:40, :40]] * 2, 96) == (0, 0)


def test_errors_are_bright_where_there_are_some(photograph):
    changed = photograph.copy()
    changed[:, 225:] = 255 - changed[:, 225:]
    row = Row("chelsea", photograph, [Panel("method", "", changed)], (0, 0))
    sheet = np.asarray(error_sheet([row]))
    height, width = sheet.shape[:2]
    middle = sheet[height // 3 : 2 * height // 3]
    assert middle[:, width // 8 : width // 3].mean() < 60
    assert middle[:, width // 2 : 3 * width // 5].mean() > 100


def test_sheets_are_rgb_pictures(photograph):
    panels = [Panel("bicubic", "1 dB", photograph), Panel("HR", "", photograph)]
    sheet = comparison_sheet([Row("chelsea", photograph, panels, (16, 24))] * 2, 96)
    grid = crop_grid({"LR": [photograph[:96, :96]] * 3, "HR": [photograph[:96, :96]] * 3})
    for picture in (sheet, grid):
        assert picture.mode == "RGB"
        assert np.asarray(picture).std() > 20
