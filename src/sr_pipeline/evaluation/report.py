"""The report: one HTML page with all figures and pictures inside it, to be opened without a network."""

import base64
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.methods import TITLES
from sr_pipeline.evaluation.metrics import METRICS
from sr_pipeline.evaluation.sheets import Shown
from sr_pipeline.evaluation.statistics import FEWEST
from sr_pipeline.imaging.sheets import evenly_spaced, low_resolution_panel
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import SCALE

log = logging.getLogger(__name__)

LIMIT = 15_000_000
"""Bytes of a report at the most: what a mail and a phone can take."""

Loaders = Mapping[str, Sequence[Callable[[], Shown]]]
"""Pictures of each set, each loaded when called."""
SavedSheets = dict[str, Callable[[], Image.Image]]

_SHEET_TITLES = {
    "comparison": "Details where the methods differ most",
    "best_and_worst": "Best and worst cases",
    "errors": "Where the errors are",
    "gains": "Picture by picture",
    "distortion_perception": "Distortion against perception",
}


class _Size(NamedTuple):
    """How much a report may hold; each next one is smaller."""

    sliders: int  # pictures with a slider, a set
    edge: int  # largest edge of those, in pixels
    quality: int  # of WebP
    sheet_width: int


_SIZES = (_Size(4, 720, 90, 1900), _Size(3, 640, 85, 1600), _Size(2, 512, 75, 1400), _Size(1, 384, 60, 1000))


def render_report(
    pictures: Loaders, sheets: SavedSheets, statistics: dict[str, Any], evaluation: dict[str, Any]
) -> str:
    """The report as HTML, at most ``LIMIT`` bytes; for that, pictures get fewer and coarser where there are many sets.

    Args:
        pictures: of each set.
        sheets: by ``set/name``.
        statistics: as ``summarize`` gives them.
        evaluation: model, protocol, intervals, sets and processor.

    Raises:
        UserError: if even the smallest report is too large.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sr_pipeline", "evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.jinja")
    for size in _SIZES:
        sets = [
            {
                "name": name,
                "facts": evaluation["sets"][name],
                "table": _table(statistics[name]["methods"]),
                "differences": _differences(statistics[name]["differences"]),
                "sliders": [_slider(members[i](), size) for i in evenly_spaced(len(members), size.sliders)],
                "sheets": _embedded_sheets(name, sheets, size),
            }
            for name, members in pictures.items()
        ]
        page = template.render(
            sets=sets,
            model=evaluation["model"],
            training_id=evaluation["model"].get("training_id"),
            weights={TITLES[method]: digest for method, digest in evaluation["model"]["weights"].items()},
            training=_flat(evaluation["model"].get("training") or {}),
            protocol=_flat(evaluation["protocol"] | {"intervals": evaluation["intervals"]}),
            processor=evaluation["processor"],
            confidence=evaluation["intervals"]["confidence"],
            fewest=FEWEST,
        )
        if len(page.encode()) <= LIMIT:
            return page
        log.info("a report of %.1f MB is too large; pictures are made smaller", len(page.encode()) / 1e6)
    raise UserError(f"{len(pictures)} sets do not fit into a report of {LIMIT // 10**6} MB; evaluate fewer at once")


def _table(methods: dict[str, Any]) -> dict[str, Any]:
    """Rows of a table: for each method the mean of each metric with its interval; the best of each marked."""
    metrics = [name for name in METRICS if any(name in measured for measured in methods.values())]
    best = {name: _best(name, methods) for name in metrics}  # several where they print alike
    rows = [
        {
            "title": TITLES[method],
            "cells": [_cell(name, measured.get(name)) | {"best": method in best[name]} for name in metrics],
        }
        for method, measured in methods.items()
    ]
    heads = [
        {
            "label": METRICS[name].title,
            "arrow": "↑" if METRICS[name].higher_is_better else "↓",
            "count": _count(name, methods),
        }
        for name in metrics
    ]
    return {"heads": heads, "rows": rows}


def _differences(pairs: dict[str, Any]) -> dict[str, Any]:
    """Rows of paired differences; those whose interval does not hold zero are marked as better or worse."""
    metrics = [name for name in METRICS if any(name in measured for measured in pairs.values())]
    rows = []
    for pair, measured in pairs.items():
        first, second = (TITLES[method] for method in pair.split(" - "))
        cells = [
            _cell(name, measured.get(name), signed=True) | {"verdict": _verdict(name, measured.get(name))}
            for name in metrics
        ]
        rows.append({"title": f"{first} − {second}", "cells": cells})
    heads = [{"label": METRICS[name].title, "count": _count(name, pairs)} for name in metrics]
    few = any(interval["n"] < FEWEST for measured in pairs.values() for interval in measured.values())
    return {"heads": heads, "rows": rows, "few": few}


def _count(metric: str, measured: dict[str, Any]) -> str:
    """On how many pictures the means of a column rest: "n = 5", or "n = 4–5" where methods differ."""
    counts = [intervals[metric]["n"] for intervals in measured.values() if metric in intervals]
    low, high = min(counts), max(counts)
    return f"n = {low}" if low == high else f"n = {low}–{high}"


def _best(metric: str, methods: dict[str, Any]) -> set[str]:
    """The methods whose mean is best to the printed digits."""
    means = {
        method: _printed(metric, measured[metric]["mean"])
        for method, measured in methods.items()
        if metric in measured and measured[metric]["mean"] is not None
    }
    best = (max if METRICS[metric].higher_is_better else min)(means.values(), default=None)
    return {method for method, mean in means.items() if mean == best}


def _printed(metric: str, value: float) -> float:
    """``value`` as it is printed; never -0."""
    return round(value, METRICS[metric].decimals) + 0.0


def _cell(metric: str, interval: dict[str, Any] | None, *, signed: bool = False) -> dict[str, str]:
    if interval is None or interval["mean"] is None:
        return {"mean": "–", "range": ""}
    form = f"{{:{'+' if signed else ''}.{METRICS[metric].decimals}f}}"
    mean, low, high = (
        "" if interval[bound] is None else form.format(_printed(metric, interval[bound])).replace("-", "−")
        for bound in ("mean", "low", "high")
    )
    told = low and interval["n"] >= FEWEST  # of fewer, it is as wide as the scale
    return {"mean": mean, "range": f"{low} … {high}" if told else ""}


def _verdict(metric: str, interval: dict[str, Any] | None) -> str:
    """``better`` or ``worse``; nothing if zero is in the interval, pictures are few, or the difference prints as 0."""
    if interval is None or interval["low"] is None or interval["n"] < FEWEST:
        return ""
    if interval["low"] <= 0 <= interval["high"] or _printed(metric, interval["mean"]) == 0:
        return ""
    return "better" if (interval["mean"] > 0) == METRICS[metric].higher_is_better else "worse"


def _slider(shown: Shown, size: _Size) -> dict[str, Any]:
    """A part of a picture by every method, for the page to lay over each other."""
    height, width = (min(edge, size.edge) for edge in shown.hr.shape[:2])
    top, left = shown.detail(min(height, width))
    top, left = min(top, shown.hr.shape[0] - height), min(left, shown.hr.shape[1] - width)
    window = (slice(top, top + height), slice(left, left + width))
    layers = {"LR input": low_resolution_panel(shown.lr, SCALE), "bicubic": shown.images["bicubic"]}
    layers |= {TITLES[method]: image for method, image in shown.images.items() if method not in ("nearest", "bicubic")}
    captions = {TITLES[method]: shown.caption(method) for method in shown.images}
    return {
        "name": shown.picture.image,
        "width": width,
        "height": height,
        "layers": [
            {"title": title, "caption": captions.get(title, ""), "source": _embedded(image[window], size.quality)}
            for title, image in [*layers.items(), ("HR original", shown.hr)]
        ],
        "right": len(layers) - 1 if len(layers) < 3 else _last_unmatched(list(layers)),
    }


def _last_unmatched(titles: list[str]) -> int:
    return max(i for i, title in enumerate(titles) if not title.endswith(", matched"))


def _embedded_sheets(name: str, sheets: SavedSheets, size: _Size) -> list[dict[str, str]]:
    embedded = []
    for sheet, title in _SHEET_TITLES.items():
        load = sheets.get(f"{name}/{sheet}")
        if load is not None:
            picture = load()
            if picture.width > size.sheet_width:
                height = round(picture.height * size.sheet_width / picture.width)
                picture = picture.resize((size.sheet_width, height), Image.Resampling.LANCZOS)
            embedded.append({"title": title, "source": _embedded(picture, size.quality)})
    return embedded


def _embedded(image: Image.Image | RgbImage, quality: int) -> str:
    """A picture as a data address."""
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as one level of names and texts, nothing left out."""
    flat: dict[str, str] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        else:
            flat[name] = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return flat
