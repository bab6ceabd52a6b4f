"""One file from the first mirror that delivers it whole: https only, size and SHA-256 checked."""

import contextlib
import hashlib
import logging
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

from numlp.errors import DownloadError
from numlp.progress import progress_bar

_CHUNK = 1 << 16
_log = logging.getLogger("numlp")


class RemoteFile(NamedTuple):
    """What a file must be: its name on every mirror, its size in bytes and its SHA-256."""

    name: str
    size: int
    sha256: str


class Patience(NamedTuple):
    """How long a download may take, in seconds, and how often each mirror is tried."""

    silence: float = 30  # without a byte
    attempt: float = 600  # for the whole file from one mirror, however steadily it drips
    total: float = 1800  # for the file from all mirrors
    tries: int = 3
    pause: float = 1  # after the first round of mirrors; twice as long after each other one


PATIENCE = Patience()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file, as hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path, progress: bool = True) -> Path:
    """Download `file` into `folder` from the first of `mirrors` (base addresses, each ending in /) that has it whole.

    Whatever goes wrong at one mirror - no connection, a refusal, an HTML page, a short body, other bytes - is logged and
    the next one is tried; after the last one the first again, three times in all. A file appears under its name only
    when size and hash are right. PATIENCE has the limits.

    Errors  DownloadError listing every attempt.
    """
    import pooch
    import requests
    import urllib3

    pooch.get_logger().setLevel("WARNING")
    patience, end = PATIENCE, time.monotonic() + PATIENCE.total
    attempts: Counter[str] = Counter()
    for number in range(patience.tries * len(mirrors)):
        mirror = mirrors[number % len(mirrors)]
        left = min(patience.attempt, end - time.monotonic())
        if left <= 0:
            attempts[f"time was up after {patience.total:g} seconds"] += 1
            break
        try:
            path = pooch.retrieve(
                mirror + file.name,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=folder,
                downloader=_Transfer(file, progress, patience.silence, left),
            )
            return Path(path)
        # reading a body raises urllib3's exceptions, which are not requests' and no OSError
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            reason = f"{urlsplit(mirror).netloc}: {_reason(error, patience.silence)}"
            attempts[reason] += 1
            after, pause = _next_step(number + 1, len(mirrors), patience)
            _log.warning("%s from %s%s", file.name, reason, after)
            time.sleep(max(0, min(pause, end - time.monotonic())))
    found = "; ".join(text if n == 1 else f"{text} ({n} times)" for text, n in attempts.items())
    raise DownloadError(f"{file.name}: must come from one of {len(mirrors)} mirrors, got none; {found}")


def _next_step(tried: int, mirrors: int, patience: Patience) -> tuple[str, float]:
    """Return what comes after so many attempts, in words, and the seconds to wait before it."""
    if tried == patience.tries * mirrors:
        return "", 0
    if tried % mirrors:
        return f"; trying mirror {tried % mirrors + 1}/{mirrors}", 0
    pause = patience.pause * 2 ** (tried // mirrors - 1)
    return f"; trying mirror 1/{mirrors} again in {pause:g} s", pause


class _Transfer:
    """The downloader given to pooch: takes the declared number of bytes, no more, in `seconds` at the most."""

    def __init__(self, file: RemoteFile, progress: bool, silence: float, seconds: float) -> None:
        self.file, self.progress, self.silence, self.seconds = file, progress, silence, seconds

    def __call__(self, url: str, output_file: str, _: Any) -> None:
        import requests

        if not url.startswith("https://"):
            raise DownloadError(f"address must be https, got {url}")
        os.unlink(output_file)  # pooch made it readable for the user alone; made anew it follows the umask
        with requests.Session() as session, open(output_file, "xb") as out, _time_limit(session, self.seconds) as time_is_up:
            session.max_redirects = 5
            # identity: a server that calls a .gz file "Content-Encoding: gzip" must not have it unpacked on the way
            headers = {"Accept-Encoding": "identity"}
            try:
                with session.get(url, stream=True, timeout=self.silence, headers=headers) as response:
                    response.raise_for_status()
                    self._receive(response, out)
            except Exception as error:
                if time_is_up.is_set():
                    raise DownloadError(f"time was up after {self.seconds:.3g} seconds") from error
                raise

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
                cut = f"; no more came for {self.silence:g} seconds"
            except urllib3.exceptions.HTTPError:
                cut = "; the connection was cut"
        if received != size:
            raise DownloadError(f"got {received:,} bytes {kind}, expected {size:,}{cut}")


@contextlib.contextmanager
def _time_limit(session: Any, seconds: float) -> Iterator[threading.Event]:
    """Let `session` speak https only, and hang up after `seconds`: a timeout bounds the silence, not the whole.

    Yields an event that is set when the time is up.
    """
    import requests
    import urllib3

    opened: list[socket.socket] = []
    time_is_up = threading.Event()

    class Connection(urllib3.connection.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            opened.append(self.sock)
            if time_is_up.is_set():  # while the connection was made
                raise TimeoutError

    class Pool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Connection

    def hang_up() -> None:
        time_is_up.set()
        for one in opened:
            with contextlib.suppress(OSError):  # already closed
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # below TLS: whoever waits for bytes wakes up

    adapter = requests.adapters.HTTPAdapter()
    adapter.poolmanager.pool_classes_by_scheme = {"https": Pool}
    session.adapters.clear()  # a redirect to http opens no connection
    session.mount("https://", adapter)
    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield time_is_up
    finally:
        timer.cancel()


def _reason(error: Exception, silence: float) -> str:
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
        requests.Timeout: f"no answer for {silence:g} seconds",
        requests.ConnectionError: "no connection",
    }
    return next((text for kind, text in words.items() if isinstance(error, kind)), f"{type(error).__name__}: {error}")
