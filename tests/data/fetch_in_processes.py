"""Fetches a file in processes that are killed, or in many at once: run by test_download.py, and by `make fuzz`.

Everything is imported before the first process is forked, so that each one costs milliseconds.
"""

import argparse
import os
import random
import signal
import sys
import time
from pathlib import Path

from numlp.data import download
from numlp.data.download import RemoteFile, fetch, sha256_of


def forked(file: RemoteFile, mirror: str, folder: Path) -> int:
    """Fetch in a process of its own; return its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        fetch(file, [mirror], folder, progress=False)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def kill(file: RemoteFile, mirror: str, folder: Path, times: int) -> None:
    """Kill -9 at random instants; the file is never there in part, and can always be fetched afterwards."""
    rng = random.Random(9)
    path, whole, cut = folder / file.name, 0, 0
    started = time.perf_counter()
    assert os.waitpid(forked(file, mirror, folder), 0)[1] == 0
    usual = time.perf_counter() - started
    for _ in range(times):
        path.unlink(missing_ok=True)
        pid = forked(file, mirror, folder)
        time.sleep(rng.uniform(0, 1.2 * usual))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if path.exists():
            whole += 1
            assert sha256_of(path) == file.sha256, "a bad file under the name"
        else:
            cut += any(other.stat().st_size for other in folder.iterdir())
        for other in folder.iterdir():  # what pooch had begun
            other.unlink()
    assert os.waitpid(forked(file, mirror, folder), 0)[1] == 0
    assert sha256_of(path) == file.sha256
    print(f"{times} kills: {whole} after the end, {cut} in the middle of the body")


def together(file: RemoteFile, mirror: str, folder: Path, processes: int) -> None:
    """Fetch in many processes at once; each succeeds."""
    pids = [forked(file, mirror, folder) for _ in range(processes)]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * processes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("deed", choices=["kill", "together"])
    parser.add_argument("count", type=int)
    parser.add_argument("mirror")
    parser.add_argument("folder", type=Path)
    parser.add_argument("name")
    parser.add_argument("size", type=int)
    parser.add_argument("sha256")
    given = parser.parse_args()
    download.PATIENCE = download.PATIENCE._replace(tries=1)
    import pooch  # noqa: F401  before the first fork
    import requests  # noqa: F401

    deed = kill if given.deed == "kill" else together
    deed(RemoteFile(given.name, given.size, given.sha256), given.mirror, given.folder, given.count)


if __name__ == "__main__":
    main()
