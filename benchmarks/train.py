"""Training against PyTorch, JAX, TensorFlow and scikit-learn: `python -m benchmarks.train`."""

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.runner import Competitor, Results, alternate, compare_options, installed, measure, say_what_was_removed
from benchmarks.tables import Ratios, compare, disagreement, print_table, record, shown
from benchmarks.works import WORKS, Work, floor_us


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status: 1 if losses differ or a competitor failed."""
    options = compare_options(__doc__)
    names = [work.name for work in WORKS]
    options.add_argument("--only", nargs="+", choices=names, default=names, metavar="WORK", help=", ".join(names))
    options.add_argument("--epochs", type=int, default=5, help="measured, after one to warm up")
    chosen = options.parse_args(arguments)
    say_what_was_removed()
    competitors = installed(chosen.peers, chosen.envs, "train")
    rates, everything, wrong = [], {}, []
    for work in (work for work in WORKS if work.name in chosen.only):
        rates.append(product_rate())
        results, failed = run(work, competitors, chosen.rounds, chosen.epochs, chosen.data_dir)
        everything[work.name] = results
        losses = {name: statistics.median(r["loss"] for r in rounds) for name, rounds in results.items()}
        differ = disagreement(losses, work.dropout > 0) if losses else None
        wrong += [f"{work.name}: {message}" for message in [*failed, *([differ] if differ else [])]]
        show(work, results)
    rates.append(product_rate())
    ratios = {name: ratios_of(name, results, max(rates)) for name, results in everything.items() if "numlp" in results}
    for message in wrong:
        print(message, file=sys.stderr)
    summarize(ratios, max(rates))
    if chosen.json:
        chosen.json.write_text(json.dumps({"gflops": max(rates), "works": everything}, indent=1), encoding="utf-8")
    if chosen.record and not wrong:
        record(chosen.record, ratios)
    return 1 if wrong else 0


def run(
    work: Work, competitors: Sequence[tuple[Competitor, Path]], rounds: int, epochs: int, data_dir: str | None
) -> tuple[Results, list[str]]:
    """Return the results of each competitor, one a round, and what failed."""
    from benchmarks.data import prepare

    with tempfile.TemporaryDirectory() as folder:
        prepare(work, Path(folder), data_dir)
        job = {"task": "train", "work": asdict(work), "folder": folder, "seed": 0, "warm": 1, "epochs": epochs}

        def start(competitor: Competitor, python: Path, variant: str) -> dict[str, Any]:
            return measure(python, competitor.name, job | {"variant": variant})

        runs = [
            (competitor.name, variant, lambda variant, c=competitor, p=python: start(c, p, variant))
            for competitor, python in competitors
            for variant in competitor.variants(work)
        ]
        return alternate(runs, rounds, lambda result: result["step_us"])


def product_rate() -> float:
    """Return the rate of large products now, in GFLOP/s."""
    return float(measure(Path(sys.executable), "numpy", {"task": "rate"})["gflops"])


def show(work: Work, results: Results) -> None:
    """Print what each competitor took."""
    print(f"\n{work.name}: {work}")
    rows = []
    for name, rounds in results.items():
        times = [r["step_us"] for r in rounds]
        middle = (statistics.median(r[key] for r in rounds) for key in ("step_us", "loss", "peak_mb"))
        us, loss, memory = middle
        spread = f"{min(times):.0f}-{max(times):.0f}"
        rows.append([f"  {name} {rounds[0]['variant']}".rstrip(), f"{us:.0f}", spread, f"{loss:.4f}", f"{memory:.0f}"])
    print_table(["  competitor", "us/step", "range", "loss", "peak MB"], rows)


def ratios_of(name: str, results: Results, gflops: float) -> Ratios:
    """Return the ratios of a work."""
    work = next(work for work in WORKS if work.name == name)
    floor = floor_us(work.sizes, work.batch_size, gflops)
    return compare({peer: [r["step_us"] for r in rounds] for peer, rounds in results.items()}, floor)


def summarize(ratios: dict[str, Ratios], gflops: float) -> None:
    """Print the ratios of all works, what was to be reached in brackets."""
    print(
        f"\nnumlp's time over the others' (to be reached); floor: the products alone, at {gflops:.0f} GFLOP/s, over numlp's"
    )
    rows = [
        [work.name, row.fastest_peer or "-", shown(row.ratio, work.fastest), shown(row.torch, work.torch), shown(row.floor)]
        for work in WORKS
        if (row := ratios.get(work.name))
    ]
    print_table(["work", "fastest peer", "ratio", "PyTorch", "floor"], rows)


if __name__ == "__main__":
    sys.exit(main())
