import errno
import hashlib
import logging
import os
import random
import re
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from numlp.data import download
from numlp.data.download import Patience, RemoteFile, fetch, sha256_of
from numlp.errors import DownloadError

NAME = "train-images-idx3-ubyte.gz"
BODY = random.Random(0).randbytes(12_345)
FILE = RemoteFile(NAME, len(BODY), hashlib.sha256(BODY).hexdigest())
LARGE_BODY = random.Random(1).randbytes(1 << 20)  # many chunks, to be killed between
LARGE = RemoteFile("large", len(LARGE_BODY), hashlib.sha256(LARGE_BODY).hexdigest())
SIZED = "expected 12,345"

BAD = {
    "forbidden": "got HTTP status 403",
    "missing": "got HTTP status 404",
    "broken": "got HTTP status 500",
    "page": f"got 26 bytes text/html, {SIZED}",
    "page-unsized": f"got 26 bytes text/html, {SIZED}",
    "empty": f"got 0 bytes application/gzip, {SIZED}",
    "cut": f"got 500 bytes application/gzip, {SIZED}; the connection was cut",
    "cut-chunk": f"got 500 bytes application/gzip, {SIZED}; the connection was cut",
    "short": f"got 500 bytes application/gzip, {SIZED}",
    "short-unsized": f"got 500 bytes application/gzip, {SIZED}",
    "long": f"got 12,349 bytes application/gzip, {SIZED}",
    "long-unsized": f"got more than 12,345 bytes application/gzip, {SIZED}",
    "endless": f"got more than 12,345 bytes application/gzip, {SIZED}",
    "other": "got other bytes, SHA256 mismatch",
    "nonsense-length": f"got 500 bytes application/gzip, {SIZED}",
    "to-http": "address must be https, got a redirect to another kind",
    "to-file": "address must be https, got a redirect to another kind",
    "circle": "got HTTP status 302",
    "hangs-up": "no connection",
    "no-http": "no connection",
    "rubbish-encoding": "got other bytes, SHA256 mismatch",
    "headers-without-end": "no connection",
    "reset": f"got [0-9]+ bytes application/gzip, {SIZED}; the connection was cut|no connection",
}
GOOD = ("good", "unsized", "labelled", "chunked", "to-good")


@pytest.fixture
def served(web):
    """Let the server have the file."""
    web.server.files = {NAME: BODY}
    return web


@pytest.fixture
def lines(caplog):
    """Return a function that returns the lines logged so far."""
    caplog.set_level(logging.INFO, logger="numlp")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "numlp"]


def host(mirror):
    return mirror.split("/")[2]


def assert_has(folder, names=(NAME,)):
    """The folder holds the whole file and no temporary one."""
    assert sorted(os.listdir(folder)) == sorted(names)
    for name in names:
        assert (folder / name).read_bytes() == BODY


@pytest.mark.parametrize("behaviour", GOOD)
def test_fetch_takes_the_file_as_it_is(served, tmp_path, lines, behaviour):
    path = fetch(FILE, [served.mirror(behaviour)], tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / NAME
    assert_has(path.parent)
    assert lines() == []


@pytest.mark.parametrize("behaviour", BAD)
def test_fetch_goes_on_to_the_next_mirror(served, tmp_path, lines, behaviour):
    bad, good = served.mirror(behaviour), served.mirror("good")
    assert fetch(FILE, [bad, good], tmp_path) == tmp_path / NAME
    assert_has(tmp_path)
    (line,) = lines()
    assert re.fullmatch(rf"{NAME} from {host(bad)}: ({BAD[behaviour]}); trying mirror 2/2", line)


def test_fetch_goes_on_when_nobody_listens(served, closed_port, tmp_path, lines):
    fetch(FILE, [closed_port, served.mirror("good")], tmp_path)
    assert_has(tmp_path)
    assert lines() == [f"{NAME} from {host(closed_port)}: no connection; trying mirror 2/2"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/good/", "ftp://127.0.0.1:{}/", "file:///etc/", "//127.0.0.1:{}/"])
def test_fetch_opens_no_connection_but_https(served, tmp_path, lines, address):
    address = address.format(served.server.http_port)
    fetch(FILE, [address, served.mirror("good")], tmp_path)
    assert_has(tmp_path)
    assert f"address must be https, got {address}{NAME}; trying mirror 2/2" in lines()[0]


def test_fetch_refuses_a_certificate_it_cannot_trust(served, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(DownloadError, match="certificate must be valid, got one that is not"):
        fetch(FILE, [served.mirror("good")], tmp_path)
    assert os.listdir(tmp_path) == []
    assert served.server.asked == []


@pytest.mark.parametrize(("behaviour", "reason"), [("stall", "got [0-9]+ bytes .*; no more came"), ("silent", "no answer")])
def test_fetch_does_not_wait_for_ever(served, tmp_path, patience, lines, behaviour, reason):
    patience(silence=0.5)
    try:
        fetch(FILE, [served.mirror(behaviour), served.mirror("good")], tmp_path)
    except DownloadError:  # on a machine under load even the good one may be late
        pass
    else:
        assert_has(tmp_path)
    # on a machine under load even the first bytes of `stall` may come late
    assert re.search(rf": ({reason}|no answer) for 0.5 seconds; trying mirror 2/2", lines()[0])


@pytest.mark.parametrize("behaviour", ["drip", "drip-headers"])
def test_fetch_hangs_up_on_a_mirror_that_drips(served, tmp_path, patience, lines, behaviour):
    patience(attempt=1.5)
    started = time.monotonic()
    fetch(FILE, [served.mirror(behaviour), served.mirror("good")], tmp_path)
    assert_has(tmp_path)
    assert time.monotonic() - started < 30
    assert lines() == [f"{NAME} from {host(served.mirror(''))}: time was up after 1.5 seconds; trying mirror 2/2"]


def test_fetch_stops_when_the_time_for_all_mirrors_is_up(served, tmp_path, patience):
    patience(total=0.5, tries=1000)
    with pytest.raises(DownloadError, match=r"time was up after 0\.5 seconds$") as caught:
        fetch(FILE, [served.mirror("missing"), served.mirror("drip")], tmp_path)
    assert "got HTTP status 404" in str(caught.value)
    assert len(served.server.asked) < 2000


def test_fetch_is_patient_as_promised():
    assert Patience() == (30, 600, 1800, 3, 1)


def test_fetch_tries_each_mirror_three_times_with_growing_pauses(
    served, closed_port, tmp_path, patience, lines, monkeypatch
):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    patience(tries=3, pause=1)
    missing, closed = host(served.mirror("")), host(closed_port)
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, [served.mirror("missing"), closed_port], tmp_path)
    assert str(caught.value) == (
        f"{NAME}: must come from one of 2 mirrors, got none; "
        f"{missing}: got HTTP status 404 (3 times); {closed}: no connection (3 times)"
    )
    assert [seconds for seconds in slept if seconds > 0.5] == [1, 2]
    first = [f"{NAME} from {missing}: got HTTP status 404; trying mirror 2/2"]
    then = [f"{NAME} from {closed}: no connection{after}" for after in ("; trying mirror 1/2 again in 1 s", "")]
    again = [then[0].replace("1 s", "2 s")]
    assert lines() == [*first, then[0], *first, *again, *first, then[1]]


def test_fetch_succeeds_when_a_mirror_recovers(served, tmp_path, patience, lines):
    patience(tries=3)
    fetch(FILE, [served.mirror("twice")], tmp_path)
    assert_has(tmp_path)
    assert [line.split(": ")[1] for line in lines()] == ["got HTTP status 500; trying mirror 1/1 again in 0 s"]


def test_fetch_tries_the_mirrors_in_order_and_lists_every_attempt(served, closed_port, tmp_path, lines):
    behaviours = ["missing", "page", "cut", "other", "to-http"]
    mirrors = [*(served.mirror(name) for name in behaviours), closed_port]
    with pytest.raises(DownloadError) as caught:
        fetch(FILE, mirrors, tmp_path)
    reasons = [*(BAD[name] for name in behaviours), "no connection"]
    attempts = "; ".join(f"{host(mirror)}: {reason}" for mirror, reason in zip(mirrors, reasons, strict=True))
    assert str(caught.value) == f"{NAME}: must come from one of 6 mirrors, got none; {attempts}"
    assert served.server.asked == [f"/{name}/{NAME}" for name in behaviours]
    assert [line.split()[-1] for line in lines()] == ["2/6", "3/6", "4/6", "5/6", "6/6", "connection"]
    assert os.listdir(tmp_path) == []


def test_fetch_does_not_ask_a_second_mirror_without_need(served, tmp_path):
    fetch(FILE, [served.mirror("good"), served.mirror("missing")], tmp_path)
    assert served.server.asked == [f"/good/{NAME}"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_fetch_mode_follows_the_umask(served, tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        path = fetch(FILE, [served.mirror("good")], tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_fetch_names_a_full_disk(served, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download, "open", full, raising=False)
    with pytest.raises(DownloadError, match="No space left on device"):
        fetch(FILE, [served.mirror("good")], tmp_path)
    assert os.listdir(tmp_path) == []


def test_fetch_by_many_at_once_ends_with_one_whole_file(served, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: fetch(FILE, [served.mirror("good")], tmp_path), range(8)))
    assert set(paths) == {tmp_path / NAME}
    assert_has(tmp_path)


def in_processes(deed, count, mirror, folder):
    """Run fetch_in_processes.py and return what it prints."""
    script = Path(__file__).with_name("fetch_in_processes.py")
    command = [sys.executable, script, deed, str(count), mirror, folder, *map(str, LARGE)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_fetch_in_8_processes_at_once_ends_with_one_whole_file(served, tmp_path):
    served.server.files = {LARGE.name: LARGE_BODY}
    in_processes("together", 8, served.mirror("pieces"), tmp_path)
    assert os.listdir(tmp_path) == [LARGE.name] and sha256_of(tmp_path / LARGE.name) == LARGE.sha256


KILLS = {"change": 20, "nightly": 50, "release": 500}


def test_fetch_killed_at_random_instants_leaves_no_bad_file(served, tmp_path):
    served.server.files = {LARGE.name: LARGE_BODY}
    kills = KILLS[os.environ.get("NUMLP_FUZZ", "change")]
    said = in_processes("kill", kills, served.mirror("pieces"), tmp_path)
    assert os.listdir(tmp_path) == [LARGE.name] and sha256_of(tmp_path / LARGE.name) == LARGE.sha256
    assert re.fullmatch(rf"{kills} kills: [0-9]+ after the end, [1-9][0-9]* in the middle of the body\n", said)


def test_connection_that_is_made_after_the_time_was_up_asks_for_nothing(served):
    with requests.Session() as session, download._time_limit(session, 0) as time_is_up:
        assert time_is_up.wait(10)
        with pytest.raises(requests.RequestException):
            session.get(served.mirror("good") + NAME, timeout=10)
    assert served.server.asked == []


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("progress", [True, False])
def test_fetch_counts_the_bytes_on_a_terminal_if_asked(served, tmp_path, bars, progress):
    fetch(FILE, [served.mirror("good")], tmp_path, progress)
    assert [(bar.desc, bar.total, bar.n, bar.unit) for bar in bars] == [(NAME, FILE.size, FILE.size, "B")] * progress
