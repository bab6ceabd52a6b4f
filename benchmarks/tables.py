"""From times to ratios: what is compared, printed and kept."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

HISTORY = Path(__file__).with_name("history.json")


@dataclass(frozen=True)
class Ratios:
    """Of one work: numlp's time over the fastest peer's and over PyTorch's, and the share of the floor it reaches."""

    fastest_peer: str | None
    ratio: float | None
    torch: float | None
    floor: float | None


def compare(times: Mapping[str, Sequence[float]], floor: float | None = None) -> Ratios:
    """Return the ratios of medians; `times` has those of each round by competitor, `floor` is in the same unit."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    own = medians.pop("numlp")
    fastest = min(medians, key=medians.__getitem__, default=None)
    return Ratios(
        fastest,
        None if fastest is None else own / medians[fastest],
        own / medians["torch"] if "torch" in medians else None,
        None if floor is None else floor / own,
    )


def disagreement(losses: Mapping[str, float], random: bool) -> str | None:
    """Say which losses are too far apart to be those of the same training, or return None.

    The largest may exceed the smallest by 0.02 or 5 %, twice that where each competitor draws its own dropout masks.
    NaN agrees with nothing.
    """
    allowed = max(0.02, 0.05 * statistics.median(losses.values())) * (2 if random else 1)
    if max(losses.values()) - min(losses.values()) <= allowed and all(value == value for value in losses.values()):
        return None
    return f"losses differ by more than {allowed:.3g}: " + ", ".join(f"{name} {value:.4f}" for name, value in losses.items())


def shown(value: float | None, target: float | None = None) -> str:
    """Return a ratio with what was to be reached beside it."""
    text = "-" if value is None else f"{value:.2f}"
    return text if target is None else f"{text} ({target:.2f})"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns that line up: the first to the left, the others to the right."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([line[0].ljust(widths[0]), *cells]).rstrip())


def record(version: str, ratios: Mapping[str, Ratios], path: Path = HISTORY) -> None:
    """Keep the ratios of a release; works that were not measured now stay as they were."""
    history = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = {
        work: {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(row).items()}
        for work, row in ratios.items()
    }
    history[version] = history.get(version, {}) | kept
    path.write_text(json.dumps(history, indent=2, sort_keys=True) + "\n", encoding="utf-8")
