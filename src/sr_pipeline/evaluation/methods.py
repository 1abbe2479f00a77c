"""The ways of enlarging that are compared, in the order of tables and pictures."""

INTERPOLATIONS = ("nearest", "bicubic")
NETWORKS = ("srresnet", "srgan")
MATCHED = "_matched"
ORDER = ("nearest", "bicubic", "srresnet", "srresnet_matched", "srgan", "srgan_matched")
TITLES = {
    "nearest": "nearest",
    "bicubic": "bicubic",
    "srresnet": "SRResNet",
    "srresnet_matched": "SRResNet, matched",
    "srgan": "SRGAN",
    "srgan_matched": "SRGAN, matched",
}
COLOURS = {
    "nearest": "#b0b0b0",
    "bicubic": "#606060",
    "srresnet": "#1f6fb4",
    "srresnet_matched": "#8fbfe3",
    "srgan": "#d9480f",
    "srgan_matched": "#f5a97f",
}
DIFFERENCES = (
    ("srresnet", "bicubic"),
    ("srgan", "bicubic"),
    ("srgan", "srresnet"),
    ("srresnet_matched", "srresnet"),
    ("srgan_matched", "srgan"),
)
"""Pairs (a, b) whose difference a - b is taken picture by picture."""
