"""The commands as a user runs them, in this process or in one of their own."""

import contextlib
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from numlp.cli import app

# no way out: nothing listens there; one BLAS thread, because two wait for each other on a machine that has other work
ENVIRONMENT = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "OPENBLAS_NUM_THREADS": "1"}


def numlp(*arguments: Any, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process."""
    words = [str(word) for word in arguments]
    with contextlib.chdir(cwd), warnings.catch_warnings():
        warnings.simplefilter("default")
        result = CliRunner(env=ENVIRONMENT | {"COLUMNS": "100"} | variables).invoke(app, words, prog_name="numlp")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)


def numlp_process(*arguments: Any, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "numlp", *map(str, arguments)]
    environment = os.environ | ENVIRONMENT | {"COLUMNS": "100"} | variables
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
