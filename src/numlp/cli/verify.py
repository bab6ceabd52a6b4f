"""numlp verify."""

import json
import os
import sys
import traceback
from typing import Annotated, Any

import numpy as np
import typer

from numlp.cli.app import AsJson, app, reports_errors
from numlp.errors import NumlpError
from numlp.gradients import check_gradients
from numlp.verification import PartReport, find_part, verify_parts

Part = Annotated[
    str | None,
    typer.Argument(
        metavar="MODULE:NAME",
        help="A layer or loss of your own, its class or a function that returns it, imported from the current folder "
        "[default: every part of numlp].",
    ),
]


@app.command()
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
    part = find_part(name)
    error, failure = None, None
    try:
        error = check_gradients(part)
    except NumlpError as caught:
        failure = str(caught)
    except Exception as caught:  # the user's own code: say where it stopped
        place = traceback.extract_tb(caught.__traceback__)[-1]
        failure = (
            f"{part} raised {type(caught).__name__}: {caught} ({os.path.basename(place.filename)}, line {place.lineno})"
        )
    _report_own(name, part, error, failure, as_json)
    if failure:
        raise typer.Exit(1)


def _report_own(name: str, part: Any, error: float | None, failure: str | None, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ok": not failure, "part": name, "largest_error": error, "failure": failure}))
    elif failure:
        print(f"{name}  FAILED\n{failure}")
    else:
        print(f"{name}  {part}: every gradient agrees with central differences, largest error {error:.1e}  ok")
