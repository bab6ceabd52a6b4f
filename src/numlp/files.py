"""Paths as users give them, errors of the operating system with a remedy, and files replaced as a whole."""

import contextlib
import difflib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from numlp.errors import ArgumentError, DTypeError, NumlpError, printable

_TEMPORARY = re.compile(r"\.numlp-(\d+)-[0-9a-f]{8}\.tmp")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REMEDIES = {
    errno.EACCES: "change its mode (chmod u+rw), or give another path",
    errno.EPERM: "change its mode (chmod u+rw), or give another path",
    errno.EROFS: "its file system is read-only; give a path on another one",
    errno.EISDIR: "give a file in it",
    errno.EINVAL: "give the path of a regular file",
    errno.ENOTDIR: "a part of the path is a file; give one whose folders are folders",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "a symbolic link leads to itself; remove it",
    errno.EMFILE: "close other files, or raise the limit (ulimit -n)",
    **dict.fromkeys(_NO_ROOM, "make room, or give a path on another disk"),
}


def check_path(path: Any, where: str, name: str = "path") -> Path:
    """Return a path as users write it: "~" is the user's home folder, also where no shell has replaced it.

    Errors  DTypeError if it is no path, such as an open file; ArgumentError if it is empty.
    """
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise DTypeError(f"{where}: {name} must be the name of a file or folder, got {type(path).__name__}") from None
    if not text or "\0" in text:
        raise ArgumentError(f"{where}: {name} must be the name of a file or folder, got {text!r}")
    return Path(os.path.expanduser(text))


@contextlib.contextmanager
def os_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Give errors of the operating system inside the block a path, where they have none, and a remedy."""
    try:
        yield
    except OSError as error:
        found = with_remedy(error, path)
        if found is error:
            raise
        raise found from error


def with_remedy(error: OSError, path: str | os.PathLike[str], size: int | None = None) -> OSError:
    """Return an error of the same class that names a path and a remedy; as it is, if it has one.

    `size` is the number of bytes that had to be written.
    """
    strerror = error.strerror or ""
    if isinstance(error, NumlpError) or error.errno is None or "; " in strerror:  # that of the system has none
        return error
    path = os.fsdecode(os.fspath(path) if error.filename is None else str(error.filename))
    remedy = _REMEDIES.get(error.errno, "give another path")
    if error.errno == errno.ENOENT:
        remedy = _remedy_of_missing(Path(path))
    elif size and error.errno in _NO_ROOM:
        remedy = f"make room, {size:,} bytes are needed"
    return OSError(error.errno, f"{strerror}; {remedy}", path)


def _remedy_of_missing(path: Path) -> str:
    """Return what to do about a path that is not there: the nearest name that is, or the folder to make."""
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"there is no folder {printable(str(folder))}; make it, or give another path"
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(folder))
        near = [name for name in names if name.partition(".")[0] == path.name]
        near = near or difflib.get_close_matches(path.name, names, n=1)
        if near and near[0] != path.name:
            return f"did you mean {printable(str(path.with_name(near[0])))!r}?"
    return "give the path of a file that is there"


def replace_file(path: str | os.PathLike[str], data: bytes | Iterable[bytes | memoryview], size: int | None = None) -> None:
    """Write `data`, at once or part by part, to `path`, atomically and durably.

    A temporary file in the same folder is written and flushed to the disk, renamed over `path`, and the folder
    flushed. The mode is that of the old file, else 0666 less the umask; a symbolic link is followed. On any
    failure before the rename the old file is as it was and no temporary file stays; if only the last step fails,
    the new file is in place, whole, but might not outlive a power failure.

    Errors  OSError with errno, path and remedy, and where there is no room, the bytes needed, if `size` tells them for
        parts; also for a path that is there and is no regular file, or a read-only one.
    """
    if isinstance(data, bytes):
        data, size = [data], len(data)
    target = Path(os.path.realpath(path))
    # a short name, because that of the target may already be as long as the file system allows
    temporary = target.with_name(f".numlp-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        mode = check_replaceable(target)
        try:
            _write(temporary, data, mode)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):  # what went wrong first is what the user must see
                os.unlink(temporary)
            raise
        _sync_folder(target.parent)
    except OSError as error:  # os.write and os.fsync name no path, os.open the temporary one
        error.filename = os.fspath(path)
        raise with_remedy(error, path, size) from error


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in `folder` of processes of this machine that were killed before they could."""
    for path in folder.iterdir():
        ours = _TEMPORARY.fullmatch(path.name)
        if not ours or os.name == "nt":  # there, signal 0 would end the process
            continue
        try:
            os.kill(int(ours[1]), 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):  # it harms nobody
                path.unlink()
        except (PermissionError, OverflowError):  # somebody else's process, or no process at all
            continue


def make_folder(folder: Path) -> None:
    """Make a folder and those it lies in, where they are missing, so that a power failure leaves them there.

    Errors  OSError with path and remedy.
    """
    with os_errors(folder):
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        for path in missing:
            _sync_folder(path.parent)


@contextlib.contextmanager
def exclusive_folder(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder inside the block, and give whether it could be had: nobody else holds it.

    It ends with the process, however that ends. Where there are no locks it is had by everybody.
    """
    if os.name == "nt":
        yield True
        return
    import fcntl

    with os_errors(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        is_free = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_free = False
        except OSError:  # a file system without locks
            pass
        yield is_free
    finally:
        os.close(descriptor)


def check_replaceable(path: Path) -> int | None:
    """Return the mode of the file that will be replaced, None if there is none.

    Errors  OSError if it is no regular file, or read-only: a rename would replace it all the same.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):  # /dev/null would become a file of ours
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, os.strerror(code) if code == errno.EISDIR else "Not a regular file", str(path))
    if not (mode & stat.S_IWUSR and os.access(path, os.W_OK)):  # the mode as well: root may write anywhere
        raise PermissionError(errno.EACCES, "The file is read-only", str(path))
    return stat.S_IMODE(mode)


def _write(path: Path, parts: Iterable[bytes | memoryview], mode: int | None) -> None:
    """Write a new file and flush it, mode included, to the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        if mode is not None:
            os.chmod(path, mode)
        for part in parts:
            rest = memoryview(part)
            while rest:  # one call writes at most 2 GiB
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power failure."""
    if os.name == "nt":  # a folder cannot be opened there, and the rename is already durable
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without such a thing
            raise
    finally:
        os.close(descriptor)
