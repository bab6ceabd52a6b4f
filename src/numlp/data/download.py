"""One file from the first mirror that delivers it whole: https only, size and SHA-256 checked."""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from numlp.errors import DownloadError
from numlp.progress import progress_bar

_TIMEOUT = 30  # seconds without a byte
_CHUNK = 1 << 16
_log = logging.getLogger("numlp")


class RemoteFile(NamedTuple):
    """What a file must be: its name on every mirror, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path, progress: bool = True) -> Path:
    """Download `file` into `folder` from the first of `mirrors` (base addresses, each ending in /) that has it whole.

    Whatever goes wrong at one mirror - no connection, a refusal, an HTML page, a short body, other bytes - is logged and
    the next one is tried. A file appears under its name only when size and hash are right.

    Errors  DownloadError listing every attempt.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")
    attempts = []
    for number, mirror in enumerate(mirrors, 1):
        try:
            path = pooch.retrieve(
                mirror + file.name,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=_Transfer(file.size, progress),
            )
            return Path(path)
        except (requests.RequestException, OSError, ValueError) as error:
            reason = _reason(error)
            attempts.append(f"{urlsplit(mirror).hostname}: {reason}")
            after = f"; trying mirror {number + 1}/{len(mirrors)}" if number < len(mirrors) else ""
            _log.warning("%s from %s: %s%s", file.name, urlsplit(mirror).hostname, reason, after)
    raise DownloadError(f"{file.name}: must come from one of {len(mirrors)} mirrors, got none; " + "; ".join(attempts))


class _Transfer:
    """The downloader given to pooch: takes the declared number of bytes, no more."""

    def __init__(self, size: int, progress: bool) -> None:
        self.size, self.progress = size, progress

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        import requests

        # identity: a server that calls a .gz file "Content-Encoding: gzip" must not have it unpacked on the way
        with requests.get(url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}) as response:
            for address in [url, *(step.url for step in response.history), response.url]:
                if not address.startswith("https://"):
                    raise DownloadError(f"address must be https, got {address}")
            response.raise_for_status()
            kind = response.headers.get("Content-Type", "unknown type").split(";")[0]
            declared = response.headers.get("Content-Length", str(self.size))
            if declared != str(self.size):
                raise DownloadError(f"got {declared} bytes {kind}, expected {self.size:,}")
            received = 0
            name = url.rsplit("/", 1)[-1]
            with (
                open(output_file, "wb") as out,
                progress_bar(self.size, name, self.progress, unit="B", unit_scale=True) as bar,
            ):
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    received += len(chunk)
                    if received > self.size:
                        break
                    out.write(chunk)
                    if bar is not None:
                        bar.update(len(chunk))
            if received != self.size:
                more = "more than " if received > self.size else ""
                raise DownloadError(f"got {more}{min(received, self.size):,} bytes {kind}, expected {self.size:,}")


def _reason(error: Exception) -> str:
    """Return one line about what went wrong, without addresses and object numbers."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"got HTTP status {response.status_code}"
    if isinstance(error, DownloadError):
        return str(error)
    if "does not match the known hash" in str(error):
        return "got other bytes, SHA256 mismatch"
    return type(error).__name__ if "object at 0x" in str(error) else f"{type(error).__name__}: {error}"
