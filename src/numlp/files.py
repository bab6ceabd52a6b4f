"""Writing a file so that a reader finds the old one or the new one, never a part of either."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

_TEMPORARY = re.compile(r"\.numlp-(\d+)-[0-9a-f]{8}\.tmp")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: str | os.PathLike[str], data: bytes | Iterable[bytes | memoryview], size: int | None = None) -> None:
    """Write `data`, at once or part by part, to `path`, atomically and durably.

    A temporary file in the same folder is written and flushed to the disk, renamed over `path`, and the folder
    flushed. The mode is that of the old file, else 0666 less the umask; a symbolic link is followed. On any
    failure before the rename the old file is as it was and no temporary file stays; if only the last step fails,
    the new file is in place, whole, but might not outlive a power failure.

    Errors  OSError with errno and path, and where there is no room, the bytes needed, if `size` tells them for parts; also
        for a path that is there and is no regular file.
    """
    if isinstance(data, bytes):
        data, size = [data], len(data)
    target = Path(os.path.realpath(path))
    # a short name, because that of the target may already be as long as the file system allows
    temporary = target.with_name(f".numlp-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        mode = _mode_of(target)
        try:
            _write(temporary, data, mode)
            os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):  # what went wrong first is what the user must see
                os.unlink(temporary)
            raise
        _sync_folder(target.parent)
    except OSError as error:  # os.write and os.fsync name no path, os.open the temporary one
        needed = f"; {size:,} bytes are needed" if size and error.errno in _NO_ROOM else ""
        raise OSError(error.errno, f"{error.strerror}{needed}", os.fspath(path)) from error


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

    Errors  OSError with path.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        _sync_folder(path.parent)


def _mode_of(target: Path) -> int | None:
    """Return the mode of the file that will be replaced, None if there is none."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):  # /dev/null would become a file of ours
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, "Not a regular file")
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
