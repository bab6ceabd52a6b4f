"""The one progress bar, and lines that do not break it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO


@contextmanager
def progress_bar(total: int, description: str, show: bool = True, **options: Any) -> Iterator[Any]:
    """Yield a tqdm bar on stderr that appears after one second; silent where stderr is not a terminal."""
    if not (show and sys.stderr is not None and sys.stderr.isatty()):
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=description, delay=1, dynamic_ncols=True, leave=False, **options) as bar:
        yield bar


def write_line(line: str, file: TextIO) -> None:
    """Print a line to `file`; a bar that is being shown steps aside for it."""
    if "tqdm" in sys.modules:
        from tqdm.auto import tqdm

        tqdm.write(line, file=file)
    else:
        print(line, file=file)
    file.flush()
