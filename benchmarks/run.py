"""Measure data preparation and training steps, beside the machine's matrix multiplication peak.

Writes ``bench.json``: every figure with the peak measured in the same run, so that differences between machines can be
distinguished from the noise of one.
"""

import json
import sys
from pathlib import Path

from benchmarks.data import measure_data


def main(output: Path) -> None:
    """Measure, print and write the JSON."""
    data = measure_data()
    # Only now: the worker processes above import this module too, and must stay as small as a user's.
    from benchmarks.evaluation import measure_evaluation
    from benchmarks.inference import measure_inference
    from benchmarks.training import measure_training

    training = measure_training()
    training["evaluation"] = measure_evaluation()
    training["inference"] = measure_inference()
    report = {"precision": training.pop("precision"), "matmul_peak_gflops": training.pop("matmul_peak_gflops")}
    for name, figures in (data | training).items():
        report[name] = {**figures, "matmul_peak_gflops": report["matmul_peak_gflops"]}
    text = json.dumps(report, indent=2)
    output.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    if sys.platform != "linux":
        sys.exit("make bench needs Linux: it reads the memory that programs took in /proc")
    main(Path("bench.json"))
