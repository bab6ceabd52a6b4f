import errno
import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from numlp import files
from numlp.files import exclusive_folder, make_folder, remove_leftovers, replace_file

OLD, NEW = b"old content", b"new content, longer than the old"
# each call before the rename, and whether there was an old file; a new one gets its mode when it is opened
CALLS = [(name, existed) for name in ("open", "write", "fsync", "close", "replace") for existed in (True, False)]
CALLS += [("stat", True), ("chmod", True)]


@pytest.fixture
def umask():
    """Return a function that sets the umask, and set it back after the test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def break_call(monkeypatch, name, code, call=1):
    """Let call number `call` of os.<name> fail with the error number `code`."""
    real, count = getattr(os, name), 0

    def broken(*args, **kwargs):
        nonlocal count
        count += 1
        if count == call:
            if name == "close":  # an error of close still closes, as the kernel does
                real(*args, **kwargs)
            raise OSError(code, os.strerror(code))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, name, broken)


def test_replace_file_writes_a_new_and_replaces_an_old_file(tmp_path):
    path = tmp_path / "a.bin"
    replace_file(path, OLD)
    assert path.read_bytes() == OLD
    replace_file(str(path), NEW)
    assert path.read_bytes() == NEW
    replace_file(path, b"")
    assert path.read_bytes() == b""
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG])
@pytest.mark.parametrize(("name", "existed"), CALLS)
def test_replace_file_failure_keeps_the_old_file_and_names_the_path(tmp_path, monkeypatch, name, code, existed):
    path = tmp_path / "a.bin"
    if existed:
        path.write_bytes(OLD)
        path.chmod(0o640)
    break_call(monkeypatch, name, code)
    with pytest.raises(OSError) as caught:
        replace_file(path, NEW)
    monkeypatch.undo()
    assert caught.value.errno == code
    assert caught.value.filename == str(path)
    assert str(path) in str(caught.value)
    assert os.listdir(tmp_path) == (["a.bin"] if existed else [])
    if existed:
        assert path.read_bytes() == OLD
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["open", "fsync"])
def test_replace_file_failure_to_flush_the_folder_leaves_the_whole_new_file(tmp_path, monkeypatch, name):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    break_call(monkeypatch, name, errno.EIO, call=2)
    with pytest.raises(OSError, match=r"a\.bin") as caught:
        replace_file(path, NEW)
    monkeypatch.undo()
    assert caught.value.errno == errno.EIO
    assert path.read_bytes() == NEW
    assert os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_replace_file_accepts_a_file_system_that_cannot_flush_folders(tmp_path, monkeypatch, code):
    break_call(monkeypatch, "fsync", code, call=2)
    replace_file(tmp_path / "a.bin", NEW)
    assert (tmp_path / "a.bin").read_bytes() == NEW


def test_replace_file_shows_the_first_error_when_cleaning_up_fails_too(tmp_path, monkeypatch):
    break_call(monkeypatch, "fsync", errno.ENOSPC)
    break_call(monkeypatch, "unlink", errno.EROFS)
    with pytest.raises(OSError, match="No space left on device"):
        replace_file(tmp_path / "a.bin", NEW)


def test_replace_file_cleans_up_when_interrupted(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_file(path, NEW)
    monkeypatch.undo()
    assert path.read_bytes() == OLD
    assert os.listdir(tmp_path) == ["a.bin"]


def test_replace_file_goes_on_after_a_short_write(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:5]))
    replace_file(tmp_path / "a.bin", NEW)
    assert (tmp_path / "a.bin").read_bytes() == NEW


def test_replace_file_flushes_the_file_then_renames_then_flushes_the_folder(tmp_path, monkeypatch):
    path, log = tmp_path / "a.bin", []
    path.write_bytes(OLD)

    def logged(name):
        real = getattr(os, name)

        def call(*args, **kwargs):
            what = name
            if name == "fsync":
                what += " folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else " file"
            log.append(what)
            return real(*args, **kwargs)

        return call

    for name in ("open", "write", "chmod", "fsync", "close", "replace"):
        monkeypatch.setattr(os, name, logged(name))
    replace_file(path, NEW)
    monkeypatch.undo()
    assert log == ["open", "chmod", "write", "fsync file", "close", "replace", "open", "fsync folder", "close"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_replace_file_gives_a_new_file_the_mode_of_the_umask(tmp_path, umask, mask, mode):
    umask(mask)
    replace_file(tmp_path / "a.bin", NEW)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o644])
def test_replace_file_keeps_the_mode_of_the_old_file(tmp_path, umask, mode):
    path = tmp_path / "a.bin"
    path.write_bytes(OLD)
    path.chmod(mode)
    umask(0o077)
    replace_file(path, NEW)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("existed", [True, False])
def test_replace_file_follows_a_symbolic_link(tmp_path, existed):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    if existed:
        (folder / "a.bin").write_bytes(OLD)
    link = tmp_path / "link.bin"
    link.symlink_to(Path("elsewhere") / "a.bin")
    replace_file(link, NEW)
    assert link.is_symlink()
    assert (folder / "a.bin").read_bytes() == NEW
    assert os.listdir(folder) == ["a.bin"]


def test_replace_file_without_its_folder_names_the_path(tmp_path):
    path = tmp_path / "missing" / "a.bin"
    with pytest.raises(FileNotFoundError) as caught:
        replace_file(path, NEW)
    assert caught.value.filename == str(path)
    assert not path.parent.exists()


def test_replace_file_refuses_what_is_no_regular_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="Is a directory"):
        replace_file(tmp_path, NEW)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        replace_file(tmp_path / "pipe", NEW)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


def test_replace_file_takes_a_name_as_long_as_the_file_system_allows(tmp_path):
    path = tmp_path / ("a" * 255)
    replace_file(path, NEW)
    assert path.read_bytes() == NEW


def test_replace_file_opens_no_folder_on_windows(tmp_path, monkeypatch):
    opened, real = [], os.open
    windows = SimpleNamespace(
        **{**vars(os), "name": "nt", "open": lambda path, *args: opened.append(path) or real(path, *args)}
    )
    monkeypatch.setattr(files, "os", windows)
    replace_file(tmp_path / "a.bin", NEW)
    assert (tmp_path / "a.bin").read_bytes() == NEW
    assert len(opened) == 1
    assert opened[0] != tmp_path


def test_make_folder_flushes_the_folder_of_each_new_one(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "_sync_folder", flushed.append)
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert sorted(flushed) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    make_folder(tmp_path / "a" / "b" / "c")
    assert len(flushed) == 3


def test_make_folder_takes_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_folder(Path("a/b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_make_folder_names_what_is_in_its_way(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(OSError) as caught:
            make_folder(path)
        assert caught.value.filename == str(path)


def test_remove_leftovers_asks_whether_their_process_is_alive(tmp_path, monkeypatch):
    def kill(number, signum):
        assert signum == 0
        if number != os.getpid():
            raise {1: PermissionError, 2: ProcessLookupError, 3: OverflowError}[number]

    monkeypatch.setattr(os, "kill", kill)
    for number in (1, 2, 3, os.getpid()):
        (tmp_path / f".numlp-{number}-0123abcd.tmp").write_bytes(b"")
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(f".numlp-{n}-0123abcd.tmp" for n in (1, 3, os.getpid()))


def test_remove_leftovers_leaves_what_it_may_not_remove(tmp_path, monkeypatch):
    path = tmp_path / ".numlp-4194305-0123abcd.tmp"
    path.write_bytes(b"")
    break_call(monkeypatch, "unlink", errno.EROFS)
    remove_leftovers(tmp_path)
    assert path.exists()
    remove_leftovers(tmp_path)
    assert not path.exists()


def test_rename_that_a_file_system_does_not_know_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(OLD)
    break_call(monkeypatch, "replace", errno.ENOSYS)
    with pytest.raises(OSError, match=r"Function not implemented; give another path: '.*a\.bin'"):
        replace_file(tmp_path / "a.bin", NEW)
    assert (tmp_path / "a.bin").read_bytes() == OLD and os.listdir(tmp_path) == ["a.bin"]


def test_model_saved_over_the_file_it_was_loaded_from_is_right(tmp_path):
    import numlp as nl

    path = tmp_path / "m"
    nl.save(nl.Network([nl.Dense(2, 2)], rng=0), path)
    network = nl.load(path)
    network.params += 1
    nl.save(network, path)
    assert nl.load(path).params.tobytes() == network.params.tobytes()


def test_folder_is_had_by_one_at_a_time(tmp_path, monkeypatch):
    with exclusive_folder(tmp_path) as first, exclusive_folder(tmp_path) as second:
        assert first and not second
        with exclusive_folder(tmp_path.parent) as other:
            assert other
    with exclusive_folder(tmp_path) as again:
        assert again
    with pytest.raises(RuntimeError), exclusive_folder(tmp_path):
        raise RuntimeError
    with exclusive_folder(tmp_path) as again:
        assert again and os.listdir(tmp_path) == []


def test_folder_is_freed_by_the_end_of_the_process_that_has_it(tmp_path):
    code = "import sys; from pathlib import Path; from numlp.files import exclusive_folder as e\n"
    code += "with e(Path(sys.argv[1])) as had: print(had, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdin=-1, stdout=-1, text=True) as child:
        assert child.stdout.readline() == "True\n"
        with exclusive_folder(tmp_path) as mine:
            assert not mine
        child.kill()
        child.wait()
        with exclusive_folder(tmp_path) as mine:
            assert mine


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EBADF])
def test_folder_without_locks_is_had_by_everybody(tmp_path, monkeypatch, code):
    def flock(descriptor, operation):
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    with exclusive_folder(tmp_path) as first, exclusive_folder(tmp_path) as second:
        assert first and second


def test_folder_of_windows_has_no_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "name", "nt")
    with exclusive_folder(tmp_path) as first, exclusive_folder(tmp_path) as second:
        monkeypatch.undo()
        assert first and second


def test_folder_that_is_gone_has_no_lock_and_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"; .*gone'"), exclusive_folder(tmp_path / "gone"):
        pass
