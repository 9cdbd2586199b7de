"""A folder as a store: each key is a file of the same path.

Bytes go to a temporary file first, and a rename publishes them as a whole. Renames and removals happen under one lock
file (flock), and conditional writes compare under it, so they hold between threads and between processes. Lock and
temporary files are in `.r2mirror/` inside the folder, which is not part of the store. Nothing is created before the
first write. A copy is a hard link if the file system has them: files are replaced, never changed.

A folder keeps no headers, so the server in front of it has to derive a manifest's Content-Type from its `mediaType`.

Other programs may write to the folder too. Symbolic links inside it are not followed, only regular files are opened,
and in `.r2mirror/tmp/` only files that r2mirror named are removed. If the file system takes `RC1` and `rc1` for one
name, a key exists only if the file has exactly its letters, and the other name is refused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import sys
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self

from reconciler.errors import PreconditionFailed, StoreDenied, StoreError
from reconciler.files import check_regular, lock_within, open_regular
from reconciler.frozen import Frozen
from reconciler.oci.spec import Digest
from reconciler.regex import expression
from reconciler.stores import CHUNK, Absent, Condition, Listed, Matches, Stored, Stores
from reconciler.stores.config import Advice, NotABucket, Place, base_url, common_problem
from reconciler.work.threads import BLOB_WORKERS

if TYPE_CHECKING:
    from io import FileIO

    from reconciler.stores.headers import Headers
    from reconciler.stores.requests import Requests

_OWN = ".r2mirror"
_TEMPORARY = expression("[0-9a-f]{32}")
_DIGESTS = ("sha256:", "sha512:")
"""Prefixes of file names in hex, which never differ in capitals only: most names, and no folder is listed for them."""

LOCK_PATIENCE = 60.0
"""Seconds to wait for the lock of the folder. It is held for a rename or a removal, so a healthy holder needs a few
milliseconds: after this long it was stopped, or its file system hangs."""

_LOCKS = Path("/proc/locks")
"""Where Linux lists all locks of files, each with its process, device and inode."""

_OPEN_LOCK = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK


class Folder(Frozen, NotABucket):
    """A folder, as mirrors.yaml describes it."""

    path: Path
    public_url: str | None

    type: ClassVar[str] = "file"
    variables: ClassVar[tuple[str, ...]] = ()
    advice: ClassVar[Advice] = Advice(
        edge="let `r2mirror serve` answer for the folder, or set it in the web server in front of it",
        domain="check the host's DNS record and certificate, and that it leads to this folder",
        public="run `r2mirror serve`, and add its URL to mirrors.yaml as store.public_url",
        rights="let the user that runs r2mirror read and write the folder",
        place="check store.path in mirrors.yaml",
    )
    requests: ClassVar[Requests | None] = None

    @property
    def content_place(self) -> Place:
        return "folder", os.path.normpath(self.path)

    @property
    def state_place(self) -> Place:
        return self.content_place

    @property
    def pull_url(self) -> str | None:
        return self.public_url

    @classmethod
    def problem(cls, key: str, value: str) -> str | None:
        if key != "path":
            return common_problem(key, value)
        try:
            Path(value).expanduser()
        except RuntimeError:
            return "begins with an unknown home folder; write the absolute path"
        return None

    @classmethod
    def parse(cls, values: Mapping[str, Any], folder: Path) -> Self:
        return cls(folder / Path(values["path"]).expanduser(), base_url(values))

    def open(self, environ: Mapping[str, str], workers: int = BLOB_WORKERS) -> Stores:
        del environ, workers
        store = FolderStore(self.path)
        return Stores(store, store)


class FolderStore:
    """The `Store` in the folder `root`, which need not exist yet. Many threads and processes may use it at once."""

    def __init__(self, root: Path, check: Callable[[], None] = lambda: None) -> None:
        self._root = root
        self._check = check
        self._temporary = root / _OWN / "tmp"

    @property
    def name(self) -> str:
        return f"file:{self._root}"

    def get(self, key: str) -> Stored | None:
        with self._explained(key), contextlib.ExitStack() as stack:
            file = self._open(key)
            if file is None:
                return None
            stack.enter_context(file)
            written = os.fstat(file.fileno()).st_mtime
            body = file.read()
        now = time.time()
        return Stored(body, _etag(body), max(0.0, now - written), datetime.fromtimestamp(now, UTC), None)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Generator[bytes, None, None] | None:
        with self._explained(key):
            file = self._open(key)
        return None if file is None else self._chunks(key, file, start, length)

    def size(self, key: str) -> int | None:
        with self._explained(key):
            file = self._open(key)
            if file is None:
                return None
            with file:
                return os.fstat(file.fileno()).st_size

    def list(self, prefix: str) -> Iterator[Listed]:
        # The `_` makes a valid key of a prefix that ends with a slash.
        folder = self._path(f"{prefix}_").parent
        folder_key = prefix[: prefix.rfind("/") + 1]
        with self._explained(prefix):
            yield from _walk(folder, folder_key, prefix)

    def put(self, key: str, body: bytes, headers: Headers, condition: Condition | None = None) -> str:
        del headers  # A folder keeps none.
        path = self._path(key)
        with self._explained(key), self._new_file() as file:
            _write(file, body)
            self._publish(file, path, condition)
        return _etag(body)

    def upload(self, key: str, chunks: Iterator[bytes], size: int, digest: Digest, headers: Headers) -> None:
        del headers, digest  # A folder keeps none, and the caller has hashed the bytes already.
        path = self._path(key)
        with contextlib.ExitStack() as stack:
            with self._explained(key):
                file = stack.enter_context(self._new_file())
            for chunk in chunks:
                with self._explained(key):
                    _write(file, chunk)
            if file.tell() != size:
                raise StoreError(self._what(key), f"expected {size} bytes, got {file.tell()}; nothing was written")
            with self._explained(key):
                self._publish(file, path, None)

    def copy(self, origin: str, key: str, size: int, headers: Headers) -> bool:
        del headers  # A folder keeps none.
        path = self._path(key)
        with contextlib.ExitStack() as stack, self._explained(key):
            with self._explained(origin):
                file = self._open(origin)
            if file is None:
                return False
            stack.enter_context(file)
            if os.fstat(file.fileno()).st_size != size:
                return False
            if not self._link(self._path(origin), path):
                copied = stack.enter_context(self._new_file())
                while chunk := file.read(CHUNK):
                    _write(copied, chunk)
                self._publish(copied, path, None)
        return True

    def delete(self, keys: Iterable[str]) -> None:
        changed: dict[Path, str] = {}
        for key in keys:
            path = self._path(key)
            with self._explained(key):
                if _is_there(path) and not self._other(path):
                    with self._lock():
                        self._check()
                        changed[self._remove(path)] = key
        # Once for each folder, not for each file: the next collection repeats a removal that a power cut undoes.
        for folder, key in changed.items():
            with self._explained(key), contextlib.suppress(FileNotFoundError):
                _sync_folder(folder)

    def guarded(self, check: Callable[[], None]) -> FolderStore:
        return FolderStore(self._root, check)

    def write_outside(self, path: Path, chunks: Iterable[bytes]) -> None:
        """Writes a file that is not part of the store, as a whole: a former one stays until this one is complete.

        path  on the file system of the folder, which has the temporary file
        """
        with _explained(str(path)), self._new_file() as file:
            for chunk in chunks:
                _write(file, chunk)
            self._publish(file, path, None)

    @contextlib.contextmanager
    def reading_outside(self, path: Path) -> Iterator[BinaryIO]:
        """Opens a file that is not part of the store. What goes wrong while it is read is a `StoreError`."""
        with _explained(str(path)), path.open("rb") as file:
            yield file

    def _what(self, key: str) -> str:
        return f"{self.name}/{key}"

    def _open(self, key: str) -> BinaryIO | None:
        path = self._path(key)
        return None if self._other(path) else _open(path)

    def _chunks(self, key: str, file: BinaryIO, start: int, length: int | None) -> Generator[bytes, None, None]:
        with file, self._explained(key):
            file.seek(start)
            left = sys.maxsize if length is None else length
            while chunk := file.read(min(CHUNK, left)):
                left -= len(chunk)
                yield chunk

    def _path(self, key: str) -> Path:
        """Where `key` is kept. Raises `StoreError` for a key that would leave the folder or reach into `.r2mirror`."""
        parts = key.split("/")
        if parts[0] == _OWN or any(part in ("", ".", "..") or "\0" in part for part in parts):
            raise StoreError(f"{self.name}, key {key!r}", "not a key that a folder can hold")
        path = self._root.joinpath(*parts)
        # Path.resolve() would raise RuntimeError for a link that points at itself.
        if os.path.realpath(path.parent) != str(Path(os.path.realpath(self._root), *parts[:-1])):
            raise StoreError(str(path), "a symbolic link is on the way, and those are not followed; remove it")
        return path

    @contextlib.contextmanager
    def _new_file(self) -> Iterator[FileIO]:
        """Makes a temporary file, locked while its writer lives and removed afterwards unless it was published."""
        # Locked, because a killed process cannot clean up: the system releases its lock, and the next writer sees that.
        path = self._temporary / uuid.uuid4().hex
        with contextlib.ExitStack() as stack:
            with self._lock():
                self._make_own(self._temporary)
                self._remove_abandoned()
                stack.callback(path.unlink, missing_ok=True)
                # Without a buffer, so that a full disk fails a write, not the close.
                file = stack.enter_context(path.open("xb", buffering=0))
                # Never waits: `_remove_abandoned` of another process locks it only under the lock of the folder.
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def _remove_abandoned(self) -> None:
        """Removes temporary files whose writers died: those of ours that are not locked."""
        for path in self._temporary.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                with contextlib.suppress(OSError), open_regular(path, follow=False) as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()

    def _publish(self, file: FileIO, path: Path, condition: Condition | None) -> None:
        """Moves a complete temporary file to `path`, durably, if `condition` holds."""
        # On disk before the rename: after a power cut, a file system may keep the new name and lose the bytes. And not
        # under the lock, because it is the one slow step.
        os.fsync(file.fileno())
        with self._lock():
            # Not before the wait for the folder's lock, in which the lock of the mirror may be lost.
            self._check()
            self._refuse_another(path)
            if condition is not None:
                _check(path, condition)
            _make_folder(path.parent)
            # The temporary file is below the root as well: a rename is atomic within one file system.
            Path(os.fsdecode(file.name)).rename(path)
        _sync_folder(path.parent)

    def _link(self, origin: Path, path: Path) -> bool:
        """Gives a file another name, durably, replacing any file of that name. False if there are no hard links."""
        # By way of a temporary name, because link() does not replace a file as rename() does.
        temporary = self._temporary / uuid.uuid4().hex
        with self._lock():
            self._check()
            self._refuse_another(path)
            self._make_own(self._temporary)
            try:
                temporary.hardlink_to(origin)
            except OSError as error:
                if error.errno in _NO_LINKS:
                    return False
                raise
            try:
                _make_folder(path.parent)
                temporary.rename(path)
            finally:
                # Still there if both were names of one file already: a rename does nothing then.
                temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    def _remove(self, path: Path) -> Path:
        """Removes a file and the folders that are empty without it. Returns the folder that lost a name last."""
        path.unlink(missing_ok=True)
        last = path.parent
        # rmdir() fails on a folder that is not empty, which ends the loop.
        with contextlib.suppress(OSError):
            while last != self._root:
                last.rmdir()
                last = last.parent
        return last

    def _make_own(self, folder: Path) -> None:
        """Makes a folder of r2mirror's own. Files in it are removed, so it must not be a link to another folder."""
        _make_folder(folder)
        if folder.is_symlink():
            raise StoreError(str(folder), "is a symbolic link; r2mirror removes files in it, so it has to be a folder")

    def _refuse_another(self, path: Path) -> None:
        """Raises `StoreError` if the file would replace one of another name, e.g. `rc1` for `RC1`."""
        other = self._other(path)
        if other:
            why = f"this file system takes {other!r}, which is there, and {path.name!r} for one name"
            raise StoreError(str(path), f"{why}; leave one of the two out, or put the folder on another file system")

    def _other(self, path: Path) -> str | None:
        """Returns the name of the file that `path` opens, if the two differ in capitals only."""
        if not self._folds or path.name.startswith(_DIGESTS):
            return None
        try:
            names = os.listdir(path.parent)  # noqa: PTH208 names are enough
        except (FileNotFoundError, NotADirectoryError):
            return None
        folded = path.name.casefold()
        return None if path.name in names else next((name for name in names if name.casefold() == folded), None)

    @property
    def _folds(self) -> bool:
        """Whether the file system ignores capitals, seen from the lock file `lock`. False before the first write."""
        return os.path.lexists(self._root / _OWN / "LOCK")

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Holds the lock of the folder, which excludes all other threads and processes that write to it.

        Raises `StoreError` if another holder keeps it for longer than `LOCK_PATIENCE`.
        """
        self._make_own(self._root / _OWN)
        path = self._root / _OWN / "lock"
        descriptor = os.open(path, _OPEN_LOCK, 0o666)
        with os.fdopen(descriptor, "ab"):
            check_regular(descriptor)
            if not lock_within(descriptor, LOCK_PATIENCE):
                why = f"is locked, and was not released for {LOCK_PATIENCE:.0f} s; {_holder(descriptor, path)}"
                raise StoreError(str(path), f"{why}. Wait until it ends, or stop it, and run this again")
            yield

    def _explained(self, key: str) -> contextlib.AbstractContextManager[None]:
        return _explained(self._what(key))


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Translates errors of the file system into `StoreError`, with what to do about them."""
    try:
        yield
    except OSError as error:
        kind = StoreDenied if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else StoreError
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise kind(what, f"{reason}; {_ADVICE.get(error.errno, _OTHER_ADVICE)}") from error


_OTHER_ADVICE = "check the folder and the disk that it is on"
_DENIED_ADVICE = "let this user read and write the folder, or run as the user who owns it"
_FULL_ADVICE = "free some space; nothing was written under this key, and applying again goes on from here"
_SHAPE_ADVICE = "a file is where a folder has to be, or the other way round; move it out of the way"
_ADVICE: dict[int | None, str] = {
    errno.EACCES: _DENIED_ADVICE,
    errno.EPERM: _DENIED_ADVICE,
    errno.EROFS: "the file system is mounted read-only",
    errno.ENOSPC: _FULL_ADVICE,
    errno.EDQUOT: _FULL_ADVICE,
    errno.ENOTDIR: _SHAPE_ADVICE,
    errno.EEXIST: _SHAPE_ADVICE,
    errno.EISDIR: _SHAPE_ADVICE,
    errno.ENXIO: "it is a pipe, a socket or a device, where only files can be; move it out of the way",
    errno.ELOOP: "it is a symbolic link, and those are not followed; remove it",
}


_NO_LINKS = (errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EXDEV)
"""Errors of file systems without hard links, or with a limit of links for each file."""


def _is_there(path: Path) -> bool:
    """Whether something other than a folder has this path."""
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _open(path: Path) -> BinaryIO | None:
    try:
        return open_regular(path, follow=False)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _read(path: Path) -> bytes | None:
    file = _open(path)
    if file is None:
        return None
    with file:
        return file.read()


def _holder(descriptor: int, path: Path) -> str:
    """Names the process that has locked an open file, if the system tells; else says how to find it."""
    found = os.fstat(descriptor)
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with contextlib.suppress(OSError):
        for line in _LOCKS.read_text().splitlines():
            match line.split():
                case [_, "FLOCK", _, _, process, where, *_] if where == file:
                    return f"process {process} holds it"
                case _:
                    pass
    return f"another process holds it, which `fuser {path}` names"


def _check(path: Path, condition: Condition) -> None:
    body = _read(path)
    match condition:
        case Absent() if body is not None:
            raise PreconditionFailed(str(path), "another writer has created it in the meantime")
        case Matches(etag) if body is None or _etag(body) != etag:
            raise PreconditionFailed(str(path), "another writer has changed it since it was read")
        case _:
            pass


def _etag(body: bytes) -> str:
    # Of the content, because two writes within one tick of the file system's clock have the same time of change.
    return f'"{hashlib.sha256(body).hexdigest()}"'


def _write(file: FileIO, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def _walk(folder: Path, folder_key: str, prefix: str) -> Iterator[Listed]:
    """Lists the files below `folder`, whose keys begin with `folder_key`, sorted by their keys' bytes as on R2.

    A folder sorts as its name with a slash, because the keys of its files go on like that: `a-b` before `a/b`.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(((_key_part(entry), entry) for entry in entries if _is_plain(entry)), key=itemgetter(0))
    except (FileNotFoundError, NotADirectoryError):
        return
    for part, entry in found:
        key = folder_key + part
        if part.endswith("/"):
            if key != f"{_OWN}/" and (key.startswith(prefix) or prefix.startswith(key)):
                yield from _walk(folder / entry.name, key, prefix)
        elif key.startswith(prefix):
            with contextlib.suppress(FileNotFoundError):  # removed since the folder was read
                yield Listed(key, entry.stat(follow_symlinks=False).st_size)


def _is_plain(entry: os.DirEntry[str]) -> bool:
    """Whether an entry can be part of a key: a file or folder, not a link, with a name in UTF-8."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return False
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def _key_part(entry: os.DirEntry[str]) -> str:
    return f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name


def _make_folder(folder: Path) -> None:
    """Makes a folder and its parents. Each new name is on disk before anything is written under it."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
