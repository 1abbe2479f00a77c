"""MLflow runs side by side, as a table and as a picture."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.methods import ORDER, TITLES
from sr_pipeline.evaluation.metrics import METRICS
from sr_pipeline.evaluation.parameters import HELD_OUT
from sr_pipeline.imaging.sheets import render
from sr_pipeline.storage import atomic_write
from sr_pipeline.tracking.store import experiment_name, open_store

_TAGS = ("recipe", "source", "precision", "perceptual_weights", "git_commit")
_CURVES = {"train/validation_psnr_y": "validation PSNR-Y (dB)", "train/validation_lpips": "validation LPIPS"}
_BARS = ("psnr_y", "ssim_y", "lpips")
_SHEET = f"{HELD_OUT}_comparison.png"
_WIDTH = 1800  # pixels of the picture


def compare_runs(names: list[str], output: Path) -> str:
    """Draw runs side by side into ``output``, and return a table of their differences.

    Args:
        names: ids, beginnings of ids, or names of runs.
        output: a PNG file.

    Raises:
        UserError: if there is no store, or no such run.
    """
    client = open_store()
    experiment = client.get_experiment_by_name(experiment_name())
    known = client.search_runs([experiment.experiment_id], max_results=5000) if experiment else []
    runs = [_find(name, known) for name in names]
    titles = _titles(runs)
    _draw(client, dict(zip(titles, runs, strict=True)), output)
    return _table(dict(zip(titles, runs, strict=True)))


def _find(name: str, known: list[Any]) -> Any:
    """The newest run of that id, beginning of an id, or name; ``known`` is sorted by age, the newest first."""
    for run in known:
        if run.info.run_id.startswith(name) or run.info.run_name == name:
            return run
    listed = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name})" for run in known[:8])
    raise UserError(f"there is no run {name}; " + (f"the newest are: {listed}" if listed else "the store is empty"))


def _titles(runs: list[Any]) -> list[str]:
    names = [run.info.run_name for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} {run.info.run_id[:8]}"
        for name, run in zip(names, runs, strict=True)
    ]


def _table(runs: dict[str, Any]) -> str:
    """What the runs are, the parameters in which they differ, and all final metrics."""
    facts = {
        title: {
            "run": run.info.run_id[:8],
            "status": run.info.status,
            **{name: run.data.tags.get(name, "–")[:12] for name in _TAGS},
        }
        for title, run in runs.items()
    }
    parameters = pd.DataFrame({title: run.data.params for title, run in runs.items()}).fillna("–")
    differing = parameters[parameters.nunique(axis=1) > 1].sort_index()
    parts = [pd.DataFrame(facts).to_string()]
    if len(differing):
        parts.append("parameters that differ\n" + differing.to_string(max_colwidth=60))
    metrics = pd.DataFrame({title: _final_metrics(run) for title, run in runs.items()})
    if len(metrics):
        metrics.index = pd.MultiIndex.from_tuples(
            [(name[0], name[2], name[1]) for name in metrics.index], names=["set", "metric", "method"]
        )
        parts.append("metrics\n" + metrics.to_string(float_format="{:.4f}".format, na_rep="–"))
    return "\n\n".join(parts)


def _final_metrics(run: Any) -> dict[tuple[str, ...], float]:
    """``set/method/metric`` of an evaluation, in the order of the tables."""
    found = {tuple(name.split("/")): value for name, value in run.data.metrics.items()}
    final = {name: value for name, value in found.items() if len(name) == 3 and name[1] in ORDER and name[2] in METRICS}
    order = list(METRICS)
    return dict(sorted(final.items(), key=lambda item: (item[0][0], order.index(item[0][2]), ORDER.index(item[0][1]))))


def _draw(client: Any, runs: dict[str, Any], output: Path) -> None:
    parts = [_draw_metrics(runs), _draw_curves(client, runs)]
    with tempfile.TemporaryDirectory() as scratch:
        parts += [_sheet(client, title, run, Path(scratch)) for title, run in runs.items()]
    drawn = [_fitted(part) for part in parts if part is not None]
    if not drawn:
        raise UserError("these runs have neither metrics nor pictures yet")
    picture = Image.new("RGB", (_WIDTH, sum(part.height for part in drawn)), "white")
    top = 0
    for part in drawn:
        picture.paste(part, (0, top))
        top += part.height
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(output) as partial:
        picture.save(partial, "PNG")


def _draw_metrics(runs: dict[str, Any]) -> Image.Image | None:
    """Bars: one row of charts per set, one column per metric, one group per method, one bar per run."""
    from matplotlib.figure import Figure

    values = {title: _final_metrics(run) for title, run in runs.items()}
    names = list(dict.fromkeys(name for measured in values.values() for name in measured))
    sets = list(dict.fromkeys(name[0] for name in names))
    metrics = [metric for metric in _BARS if any(name[2] == metric for name in names)]
    if not metrics:
        return None
    figure = Figure(figsize=(18, 3.6 * len(sets)), layout="constrained")
    axes = figure.subplots(len(sets), len(metrics), squeeze=False)
    for line, set_name in zip(axes, sets, strict=True):
        for axis, metric in zip(line, metrics, strict=True):
            methods = [method for method in ORDER if (set_name, method, metric) in names]
            width = 0.8 / len(runs)
            for number, (title, measured) in enumerate(values.items()):
                heights = [measured.get((set_name, method, metric), float("nan")) for method in methods]
                axis.bar([i + number * width for i in range(len(methods))], heights, width, label=title)
            axis.set_xticks(
                [i + 0.4 - width / 2 for i in range(len(methods))], [TITLES[method] for method in methods], rotation=20
            )
            axis.set_title(f"{set_name}: {METRICS[metric].title}")
            finite = [
                measured[name] for measured in values.values() for name in measured if name[::2] == (set_name, metric)
            ]
            margin = 0.15 * (max(finite) - min(finite)) or 1
            axis.set_ylim(min(finite) - margin, max(finite) + margin)
    axes[0][0].legend(fontsize=9)
    return render(figure)


def _draw_curves(client: Any, runs: dict[str, Any]) -> Image.Image | None:
    """Validation metrics during training, by step."""
    from matplotlib.figure import Figure

    curves = [name for name in _CURVES if any(name in run.data.metrics for run in runs.values())]
    if not curves:
        return None
    figure = Figure(figsize=(18, 4), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False)[0]
    for axis, name in zip(axes, curves, strict=True):
        for title, run in runs.items():
            points = sorted(client.get_metric_history(run.info.run_id, name), key=lambda point: point.step)
            axis.plot([point.step for point in points], [point.value for point in points], marker=".", label=title)
        axis.set_title(_CURVES[name])
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=9)
    return render(figure)


def _sheet(client: Any, title: str, run: Any, scratch: Path) -> Image.Image | None:
    """The details of a run's held-out photographs, under the run's name."""
    from matplotlib.figure import Figure

    if not any(artifact.path == _SHEET for artifact in client.list_artifacts(run.info.run_id)):
        return None
    sheet = Image.open(client.download_artifacts(run.info.run_id, _SHEET, str(scratch)))
    figure = Figure(figsize=(18, 18 * sheet.height / sheet.width + 0.5), layout="constrained")
    axis = figure.subplots()
    axis.imshow(sheet)
    axis.axis("off")
    axis.set_title(title, fontsize=14)
    return render(figure)


def _fitted(part: Image.Image) -> Image.Image:
    if part.width == _WIDTH:
        return part
    return part.resize((_WIDTH, round(part.height * _WIDTH / part.width)), Image.Resampling.LANCZOS)
