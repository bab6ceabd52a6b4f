"""numlp verify."""

import json
import os
import sys
import traceback
from typing import Annotated

import numpy as np
import typer

from numlp.cli.app import AsJson, app, reports_errors
from numlp.differences import GradientReport
from numlp.errors import NumlpError
from numlp.gradients import gradient_report
from numlp.plain_gradients import passes_of
from numlp.verification import PartReport, find_part, verify_parts

Part = Annotated[
    str | None,
    typer.Argument(
        metavar="MODULE:NAME",
        help="A layer, a loss or any object with forward and backward, its class or a function that returns it, or "
        "(forward, backward, inputs), imported from the current folder [default: every part of numlp].",
    ),
]


@app.command(short_help="Check all gradients, or those of your own part.")
@reports_errors
def verify(part: Part = None, as_json: AsJson = False) -> None:
    """Check gradients of every part and compare with PyTorch's numbers, on this machine; or check a part of your own."""
    if part is not None:
        _verify_own(part, as_json)
        return
    reports = verify_parts()
    failed = [report for report in reports if report.failures]
    if as_json:
        print(json.dumps({"ok": not failed, "parts": [report.as_json() for report in reports]}))
    else:
        _print_table(reports)
    if failed:
        raise typer.Exit(1)


def _print_table(reports: list[PartReport]) -> None:
    """Print one line a part, what failed, and one line that sums it up."""
    width = max(len(report.part) for report in reports)
    print(f"{'':12}  {'':{width}}  gradients  PyTorch  formula  largest error")
    for report in reports:
        counts = f"{report.gradients or '-':>9}  {report.pytorch or '-':>7}  {report.formula or '-':>7}"
        print(
            f"{report.kind:12}  {report.part:{width}}  {counts}  {report.largest_error:>13.1e}  "
            f"{'FAILED' if report.failures else 'ok'}"
        )
    for report in reports:
        for failure in report.failures:
            print(f"FAILED {failure}")
    checks = sum(report.gradients + report.pytorch + report.formula for report in reports)
    failures = sum(len(report.failures) for report in reports)
    parts = sum(bool(report.failures) for report in reports)
    verdict = f"{failures} failed, in {parts} parts" if failures else "all ok"
    print(f"{len(reports)} parts, {checks} checks, {verdict} (NumPy {np.__version__}, Python {sys.version.split()[0]})")


def _verify_own(name: str, as_json: bool) -> None:
    """Check the gradients of a part from the current folder."""
    sys.path.insert(0, os.getcwd())
    arguments = find_part(name)
    subject = arguments[0] if len(arguments) == 1 else passes_of(*arguments[:2]).name
    try:
        report = gradient_report(*arguments)
    except NumlpError as caught:
        report = GradientReport(str(subject), 0, failures=[str(caught)])
    except Exception as caught:  # the user's own code: say where it stopped
        place = traceback.extract_tb(caught.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}, line {place.lineno}"
        report = GradientReport(str(subject), 0, failures=[f"{subject} raised {type(caught).__name__}: {caught} ({where})"])
    if as_json:
        print(json.dumps(_facts(name, report)))
    else:
        _print_own(name, report)
    if report.failures:
        raise typer.Exit(1)


def _facts(name: str, report: GradientReport) -> dict[str, object]:
    """Return the result in JSON's types: always the same keys; an error that is no number becomes null."""
    errors = {gradient: error if np.isfinite(error) else None for gradient, error in report.errors.items()}
    return {
        "ok": not report.failures,
        "part": name,
        "largest_error": None if report.failures else max(report.errors.values(), default=0.0),
        "failure": report.failures[0] if report.failures else None,
        "failures": report.failures,
        "checked": {
            gradient: {"error": error, "ok": error is not None and error <= report.tolerance}
            for gradient, error in errors.items()
        },
        "not_checked": report.unchecked,
    }


def _print_own(name: str, report: GradientReport) -> None:
    """Print the result, what was checked, and what was not."""
    words = [f"{gradient}{'' if error <= report.tolerance else ' (wrong)'}" for gradient, error in report.errors.items()]
    checked = f"checked: {', '.join(words) or 'nothing'}"
    if report.unchecked:
        checked += f"; NOT checked: {', '.join(report.unchecked)}"
    if report.failures:
        print("\n".join([f"{name}  FAILED", *report.failures, checked]))
        return
    largest = max(report.errors.values())
    print(
        f"{name}  {report.subject}: every gradient agrees with central differences, "
        f"largest error {largest:.1e}, {checked}  ok"
    )
