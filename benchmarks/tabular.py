"""Real tables, against scikit-learn's network, LightGBM and RealMLP-TD: `python -m benchmarks.tabular --data-dir DIR`.

The folder holds NAME.csv.gz, the target in the last column, and manifest.json with the task of each. For each table and
seed every model has the same 80 % of the rows to train on, one model after the other, each in a fresh process. The error is
the share of wrong labels, or the root mean squared error over the target's standard deviation; the figures at the end are
geometric means of ratios. With --json, what the file already has is not measured again. The peers' environments are
made by `make .venv-peers/sk/.installed .venv-peers/lgbm/.installed .venv-peers/pytabkit/.installed`.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runner import ROOT, ChildError, Competitor, folder, interpreter, measure
from benchmarks.tables import print_table, shown

MODELS = (
    Competitor("numlp", None),
    Competitor("numlp-fast", None),
    Competitor("numlp-best", None),
    Competitor("sklearn", "sk"),
    Competitor("lightgbm", "lgbm"),
    Competitor("pytabkit", "pytabkit"),
)
# (model, peer) -> the largest ratio of errors, and of times
TARGETS: dict[tuple[str, str], tuple[float | None, float | None]] = {
    ("numlp", "sklearn"): (0.85, None),
    ("numlp", "lightgbm"): (0.95, None),
    ("numlp", "pytabkit"): (1.01, 0.35),
    ("numlp-best", "numlp"): (0.95, None),
    ("numlp-fast", "sklearn"): (0.92, 1.0),
}
Results = dict[str, dict[str, dict[str, float]]]  # model -> "table/seed" -> error, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status: 1 if a model failed."""
    chosen = _options().parse_args(arguments)
    manifest = json.loads((chosen.data_dir / "manifest.json").read_text(encoding="utf-8"))
    names = chosen.tables or sorted(manifest, key=lambda name: manifest[name]["rows"])
    results: Results = json.loads(chosen.json.read_text(encoding="utf-8")) if chosen.json and chosen.json.exists() else {}
    failed = 0
    for seed in range(chosen.seeds):
        for name in names:
            for model in (model for model in MODELS if model.name in chosen.models):
                python, done = interpreter(model, chosen.envs), results.setdefault(model.name, {})
                if python is None or f"{name}/{seed}" in done:
                    continue
                job = {"task": "train", "folder": str(chosen.data_dir), "table": name, "seed": seed, "model": model.name}
                try:
                    done[f"{name}/{seed}"] = measure(python, "tabular", job)
                except ChildError as error:
                    print(f"{name} {model.name}: {error}", file=sys.stderr)
                    failed += 1
                if chosen.json:
                    chosen.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    show({name: done for name, done in results.items() if done}, names)
    return 1 if failed else 0


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data-dir", type=folder, required=True, help="folder with the tables")
    options.add_argument("--envs", type=folder, default=ROOT / ".venv-peers", help="folder with the peers' environments")
    options.add_argument("--tables", nargs="*", help="some of them; all, the smallest first, by default")
    options.add_argument("--models", nargs="*", choices=[m.name for m in MODELS], default=[m.name for m in MODELS])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--json", type=Path, metavar="FILE", help="read and keep results there")
    return options


def ratio(results: Results, model: str, peer: str, figure: str) -> float | None:
    """Return the geometric mean of the ratios of a figure, over what both have; None if that is nothing."""
    both = sorted(results.get(model, {}).keys() & results.get(peer, {}).keys())
    logs = [math.log(results[model][key][figure] / results[peer][key][figure]) for key in both]
    return math.exp(statistics.fmean(logs)) if logs else None


def mean(done: Mapping[str, Mapping[str, float]], name: str, figure: str) -> float | None:
    """Return the mean of a figure over the seeds of a table."""
    values = [run[figure] for key, run in done.items() if key.rpartition("/")[0] == name]
    return statistics.fmean(values) if values else None


def show(results: Results, names: Sequence[str]) -> None:
    """Print errors and seconds of each table, and the ratios with what was to be reached."""
    for figure, digits in (("error", 4), ("seconds", 1)):
        rows: list[list[Any]] = []
        for name in names:
            values = [mean(done, name, figure) for done in results.values()]
            rows.append([name, *("-" if value is None else f"{value:.{digits}f}" for value in values)])
        print_table([figure, *results], rows)
        print()
    lines = []
    for (model, peer), (error, seconds) in TARGETS.items():
        found = [ratio(results, model, peer, figure) for figure in ("error", "seconds")]
        lines.append([f"{model} / {peer}", shown(found[0], error), shown(found[1], seconds)])
    print_table(["ratio", "error", "seconds"], lines)


if __name__ == "__main__":
    sys.exit(main())
