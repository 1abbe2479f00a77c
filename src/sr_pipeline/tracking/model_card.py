"""The model card of a registered version: what it is, how good it is, and its limits (Mitchell et al. 2019)."""

from collections.abc import Mapping
from typing import Any

from sr_pipeline.evaluation.methods import ORDER, TITLES
from sr_pipeline.evaluation.metrics import METRICS

_SHOWN = ("psnr_y", "ssim_y", "lpips", "ciede2000")
_LICENCES = {
    "sample": "photographs of scikit-image (public domain, CC0) and scikit-learn (CC BY 2.0)",
    "coco": "MSCOCO photographs, each under its own Flickr licence; annotations CC BY 4.0",
    "folder": "the user's own photographs",
}


def write(tags: Mapping[str, str], metrics: dict[str, Any], evaluation: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        tags: of the MLflow run.
        metrics: ``{set: {method: {metric: mean}}}``.
        evaluation: what the figures depend on.
    """
    source = tags.get("source", "")
    weights = evaluation["model"]["weights"]["srgan"]
    trained = [
        f"- recipe `{tags.get('recipe', 'unknown')}`, precision {tags.get('precision', 'unknown')}, "
        f"VGG19 features: {tags.get('perceptual_weights', 'unknown')}",
        f"- data: {source} ({_LICENCES.get(source, 'see its source')})",
        f"- code: commit `{tags.get('git_commit', 'unknown')}`"
        + (" with uncommitted changes" if tags.get("git_dirty") == "true" else ""),
        f"- training `{tags.get('training_id', 'unknown')}`, weights sha256 `{weights}`",
    ]
    parts = ["Enlarges RGB photographs by 4 (SRGAN, Ledig et al. 2017).", "**Trained**\n" + "\n".join(trained)]
    parts += [_table(name, methods, evaluation["sets"][name]) for name, methods in metrics.items()]
    parts.append(
        "**Limits**\n"
        "- It invents plausible detail; what it adds was not seen. Not for evidence, medicine or measurement.\n"
        "- It expects pictures reduced by antialiased bicubic filtering; noise and JPEG artefacts are enlarged as well."
    )
    if tags.get("perceptual_weights") == "untrained":
        parts[-1] += "\n- Its perceptual loss used untrained features: a demonstration, not the paper's result."
    return "\n\n".join(parts)


def _table(name: str, methods: dict[str, dict[str, float]], facts: dict[str, Any]) -> str:
    shown = [metric for metric in _SHOWN if any(metric in measured for measured in methods.values())]
    lines = [
        f"**Measured on {name}** ({facts['pictures']} pictures, sha256 `{facts['sha256'][:12]}`)\n",
        "| | " + " | ".join(METRICS[metric].title for metric in shown) + " |",
        "| --- |" + " --- |" * len(shown),
    ]
    for method in ORDER:
        if method in methods:
            values = [f"{methods[method][metric]:.4g}" if metric in methods[method] else "–" for metric in shown]
            lines.append(f"| {TITLES[method]} | " + " | ".join(values) + " |")
    return "\n".join(lines)
