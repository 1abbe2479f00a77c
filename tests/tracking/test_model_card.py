"""What a registered version says of itself."""

from sr_pipeline.tracking import model_card

FIGURES = {"val": {"srgan": {"psnr_y": 27.123456, "lpips": 0.25}, "bicubic": {"psnr_y": 25.0}}}
EVALUATION = {"model": {"weights": {"srgan": "abc123"}}, "sets": {"val": {"pictures": 2, "sha256": "0123456789abcdef"}}}
TAGS = {
    "source": "coco",
    "recipe": "seed",
    "precision": "float32",
    "perceptual_weights": "imagenet",
    "git_commit": "fedcba",
    "git_dirty": "false",
    "training_id": "t1",
}


def card(**tags):
    return model_card.write(TAGS | tags, FIGURES, EVALUATION)


def test_what_it_was_trained_from():
    told = card()
    for words in (
        "- recipe `seed`, precision float32, VGG19 features: imagenet\n",
        "- data: coco (MSCOCO photographs, each under its own Flickr licence",
        "- code: commit `fedcba`\n",
        "- training `t1`, weights sha256 `abc123`",
    ):
        assert words in told
    assert "commit `fedcba` with uncommitted changes\n" in card(git_dirty="true")
    assert "- data: else (see its source)" in card(source="else")


def test_figures_in_the_order_of_all_tables():
    (table,) = [part for part in card().split("\n\n") if part.startswith("| |")]
    assert table.splitlines() == [
        "| | PSNR-Y (dB) | LPIPS |",
        "| --- | --- | --- |",
        "| bicubic | 25 | – |",
        "| SRGAN | 27.12 | 0.25 |",
    ]
    assert "**Measured on val** (2 pictures, sha256 `0123456789ab`)" in card()


def test_features_that_were_never_trained_are_a_limit():
    assert "untrained features" not in card()
    assert card(perceptual_weights="untrained").splitlines()[-1].startswith("- Its perceptual loss used untrained fea")
