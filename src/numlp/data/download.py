"""One file from the first mirror that delivers it whole: https only, size and SHA-256 checked."""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
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
    import urllib3

    pooch.get_logger().setLevel("WARNING")
    attempts = []
    for number, mirror in enumerate(mirrors, 1):
        try:
            path = pooch.retrieve(
                mirror + file.name,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=_Transfer(file, progress),
            )
            return Path(path)
        # reading a body raises urllib3's exceptions, which are not requests' and no OSError
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            reason = _reason(error)
            attempts.append(f"{urlsplit(mirror).netloc}: {reason}")
            after = f"; trying mirror {number + 1}/{len(mirrors)}" if number < len(mirrors) else ""
            _log.warning("%s from %s: %s%s", file.name, urlsplit(mirror).netloc, reason, after)
    raise DownloadError(f"{file.name}: must come from one of {len(mirrors)} mirrors, got none; " + "; ".join(attempts))


class _Transfer:
    """The downloader given to pooch: takes the declared number of bytes, no more."""

    def __init__(self, file: RemoteFile, progress: bool) -> None:
        self.file, self.progress = file, progress

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        import requests

        if not url.startswith("https://"):
            raise DownloadError(f"address must be https, got {url}")
        os.unlink(output_file)  # pooch made it readable for the user alone; made anew it follows the umask
        with requests.Session() as session, open(output_file, "xb") as out:
            del session.adapters["http://"]  # a redirect there opens no connection
            # identity: a server that calls a .gz file "Content-Encoding: gzip" must not have it unpacked on the way
            with session.get(url, stream=True, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}) as response:
                response.raise_for_status()
                self._receive(response, out)

    def _receive(self, response: Any, out: BinaryIO) -> None:
        """Write the body to `out`; DownloadError unless it has the size it must have."""
        import urllib3

        kind = response.headers.get("Content-Type", "of unknown type").split(";")[0]
        declared = response.headers.get("Content-Length", "")
        size = self.file.size
        if declared.isdecimal() and int(declared) != size:
            raise DownloadError(f"got {int(declared):,} bytes {kind}, expected {size:,}")
        received, cut = 0, ""
        with progress_bar(size, self.file.name, self.progress, unit="B", unit_scale=True) as bar:
            try:
                for chunk in response.raw.stream(_CHUNK, decode_content=False):
                    received += len(chunk)
                    if received > size:
                        raise DownloadError(f"got more than {size:,} bytes {kind}, expected {size:,}")
                    out.write(chunk)
                    if bar is not None:
                        bar.update(len(chunk))
            except urllib3.exceptions.ReadTimeoutError:
                cut = f"; no more came for {_TIMEOUT} seconds"
            except urllib3.exceptions.HTTPError:
                cut = "; the connection was cut"
        if received != size:
            raise DownloadError(f"got {received:,} bytes {kind}, expected {size:,}{cut}")


def _reason(error: Exception) -> str:
    """Return one line about what went wrong, without addresses and object numbers."""
    import requests

    response = getattr(error, "response", None)
    if response is not None:
        return f"got HTTP status {response.status_code}"
    if isinstance(error, DownloadError):
        return str(error)
    if "does not match the known hash" in str(error):
        return "got other bytes, SHA256 mismatch"
    words = {
        requests.exceptions.InvalidSchema: "address must be https, got a redirect to another kind",
        requests.exceptions.SSLError: "certificate must be valid, got one that is not",
        requests.Timeout: f"no answer for {_TIMEOUT} seconds",
        requests.ConnectionError: "no connection",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), f"{type(error).__name__}: {error}")
