"""What is particular to a folder: processes, killed writers, links, leftovers, errors of the file system."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from reconciler.errors import StoreDenied, StoreError
from reconciler.oci.spec import Digest
from reconciler.stores import Absent, folder
from reconciler.stores.folder import FolderStore
from reconciler.target.layout import BLOB_HEADERS, JSON_HEADERS

ROOT = Path(__file__).parents[3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root)


def files(folder: Path) -> list[str]:
    """Every file and every empty folder, relative to `folder`."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or not any(path.iterdir()))
    return sorted(str(path.relative_to(folder)) for path in found)


@contextmanager
def python(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Runs a script beside the test, until it ends by itself; it is killed where the test fails."""
    command = [sys.executable, "-c", script, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


ADD_ONE_25_TIMES = """
import pathlib, sys
from reconciler.errors import PreconditionFailed
from reconciler.target.layout import JSON_HEADERS
from reconciler.stores import Absent, Matches
from reconciler.stores.folder import FolderStore

store, done = FolderStore(pathlib.Path(sys.argv[1])), 0
print("ready", flush=True)
sys.stdin.read()
while done < 25:
    found = store.get("_mirror/index.json")
    number, condition = (int(found.body), Matches(found.etag)) if found else (0, Absent())
    try:
        store.put("_mirror/index.json", str(number + 1).encode(), JSON_HEADERS, condition)
        done += 1
    except PreconditionFailed:
        pass
"""


def test_conditional_writes_of_many_processes_lose_nothing(store: FolderStore, root: Path) -> None:
    with ExitStack() as stack:
        writers = [stack.enter_context(python(ADD_ONE_25_TIMES, str(root))) for _ in range(4)]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.close()
    assert [writer.returncode for writer in writers] == [0] * 4
    found = store.get("_mirror/index.json")
    assert found is not None
    assert found.body == b"100"


UPLOAD_WITHOUT_END = """
import pathlib, sys, time
from reconciler.target.layout import BLOB_HEADERS
from reconciler.oci.spec import Digest
from reconciler.stores.folder import FolderStore

def chunks():
    yield b"half"
    print("half", flush=True)
    time.sleep(600)

FolderStore(pathlib.Path(sys.argv[1])).upload("v2/blob", chunks(), 8, Digest.of(b""), BLOB_HEADERS)
"""


def test_what_a_killed_writer_left_is_removed_by_the_next(store: FolderStore, root: Path) -> None:
    with python(UPLOAD_WITHOUT_END, str(root)) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        store.put("v2/_ping", b"{}", JSON_HEADERS)
        assert len(list((root / ".r2mirror" / "tmp").iterdir())) == 1, "a living writer's file has to stay"
        writer.kill()
    assert [row.key for row in store.list("")] == ["v2/_ping"]
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    assert files(root) == [".r2mirror/lock", ".r2mirror/tmp", "v2/_ping"]


HOLD_THE_LOCK = """
import fcntl, sys
with open(sys.argv[1], "ab") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("is_told", [True, False])
def test_a_lock_that_is_never_released_is_an_error_that_names_its_holder(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch, *, is_told: bool
) -> None:
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    lock = root / ".r2mirror" / "lock"
    monkeypatch.setattr(folder, "LOCK_PATIENCE", 0.1)
    with python(HOLD_THE_LOCK, str(lock)) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        if not is_told:
            monkeypatch.setattr(folder, "_LOCKS", Path("/nowhere"))
        with pytest.raises(StoreError) as caught:
            store.put("v2/_ping", b"[]", JSON_HEADERS)
        holder.stdin.close()
    named = f"process {holder.pid} holds it" if is_told else f"another process holds it, which `fuser {lock}` names"
    assert named in str(caught.value)
    assert "was not released for 0 s" in str(caught.value)
    store.put("v2/_ping", b"[]", JSON_HEADERS)
    assert [row.key for row in store.list("")] == ["v2/_ping"]


def test_another_thread_s_upload_is_not_taken_for_abandoned(store: FolderStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half"
        store.put("v2/_ping", b"{}", JSON_HEADERS)
        yield b"half"

    store.upload("v2/blob", chunks(), 8, Digest.of(b"halfhalf"), BLOB_HEADERS)
    found = store.get("v2/blob")
    assert found is not None
    assert found.body == b"halfhalf"


def test_reading_creates_nothing(store: FolderStore, root: Path) -> None:
    assert store.get("v2/_ping") is None
    assert list(store.list("v2/")) == []
    store.delete(["v2/_ping"])
    assert not root.exists()


def test_nothing_is_left_but_the_keys(store: FolderStore, root: Path) -> None:
    store.put("v2/a/b/tags/list", b"{}", JSON_HEADERS)
    store.put("v2/a/tags/list", b"{}", JSON_HEADERS)
    store.delete(["v2/a/b/tags/list"])
    assert files(root) == [".r2mirror/lock", ".r2mirror/tmp", "v2/a/tags/list"]
    store.delete(["v2/a/tags/list"])
    assert files(root) == [".r2mirror/lock", ".r2mirror/tmp"]
    assert list(store.list("")) == []


def test_a_file_has_the_mode_that_the_umask_allows(store: FolderStore, root: Path) -> None:
    before = os.umask(0o022)
    try:
        store.put("v2/_ping", b"{}", JSON_HEADERS)
    finally:
        os.umask(before)
    assert (root / "v2" / "_ping").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "key", ["", "/etc/x", "../x", "v2/../../x", "v2/..", "v2//x", "./x", "v2/", "v2/\0", ".r2mirror/lock", ".r2mirror"]
)
def test_no_key_leaves_the_folder(store: FolderStore, root: Path, key: str) -> None:
    with pytest.raises(StoreError, match="not a key that a folder can hold"):
        store.put(key, b"x", JSON_HEADERS)
    with pytest.raises(StoreError, match="not a key that a folder can hold"):
        store.get(key)
    with pytest.raises(StoreError, match="not a key that a folder can hold"):
        store.delete([key])
    assert not root.exists()


def test_a_linked_folder_is_not_followed(store: FolderStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "app").mkdir(parents=True)
    (outside / "app" / "secret").write_text("secret")
    root.mkdir()
    (root / "v2").symlink_to(outside)
    (root / "loop").symlink_to("loop")
    for key in ("v2/app/secret", "v2/new"):
        with pytest.raises(StoreError, match="symbolic link"):
            store.get(key)
        with pytest.raises(StoreError, match="symbolic link"):
            store.put(key, b"x", JSON_HEADERS)
        with pytest.raises(StoreError, match="symbolic link"):
            store.delete([key])
    with pytest.raises(StoreError, match="symbolic link"):
        list(store.list("v2/app/"))
    with pytest.raises(StoreError):
        store.put("loop/x", b"x", JSON_HEADERS)
    assert list(store.list("")) == []
    assert files(outside) == ["app/secret"]


def test_a_linked_file_is_not_followed(store: FolderStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("before")
    root.mkdir()
    (root / "a").symlink_to(outside)
    (root / "b").symlink_to(outside)
    with pytest.raises(StoreError, match="symbolic link"):
        store.get("a")
    store.put("a", b"ours", JSON_HEADERS)
    store.delete(["b"])
    assert outside.read_text() == "before"
    assert [row.key for row in store.list("")] == ["a"]
    assert not (root / "a").is_symlink()


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    store = FolderStore(tmp_path / "link")
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    assert [row.key for row in store.list("")] == ["v2/_ping"]
    assert (root / "v2" / "_ping").read_bytes() == b"{}"


def test_names_that_are_no_keys_are_not_listed(store: FolderStore, root: Path) -> None:
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    (root / "v2" / os.fsdecode(b"latin-\xe9")).write_text("x")
    os.mkfifo(root / "v2" / "fifo")
    assert [row.key for row in store.list("")] == ["v2/_ping"]


def test_a_file_in_the_way_of_a_folder_is_explained(store: FolderStore) -> None:
    store.put("v2/app", b"x", JSON_HEADERS)
    with pytest.raises(StoreError, match=r"v2/app/tags/list: .*a file is where a folder has to be"):
        store.put("v2/app/tags/list", b"x", JSON_HEADERS)
    store.put("v2/other/tags/list", b"x", JSON_HEADERS)
    with pytest.raises(StoreError, match=r"v2/other: .*a file is where a folder has to be"):
        store.put("v2/other", b"x", JSON_HEADERS)
    assert [row.key for row in store.list("")] == ["v2/app", "v2/other/tags/list"]


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.ENOSPC, StoreError, "No space left on device; free some space"),
        (errno.EACCES, StoreDenied, "Permission denied; let this user read and write the folder"),
        (errno.EROFS, StoreDenied, "the file system is mounted read-only"),
        (errno.EIO, StoreError, "check the folder and the disk"),
    ],
)
def test_errors_of_the_disk_say_what_to_do_and_leave_nothing(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[StoreError], advice: str
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    store.put("v2/_ping", b"{}", JSON_HEADERS)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match=f"file:{root}/v2/blob: .*{advice}") as raised:
            store.upload("v2/blob", iter([b"x"]), 1, Digest.of(b"x"), BLOB_HEADERS)
    assert type(raised.value) is kind
    assert files(root) == [".r2mirror/lock", ".r2mirror/tmp", "v2/_ping"]


def test_an_error_of_the_source_is_not_explained_as_the_disk_s(store: FolderStore, root: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise ConnectionResetError("the source hung up")

    with pytest.raises(ConnectionResetError, match="the source hung up"):
        store.upload("v2/blob", chunks(), 2, Digest.of(b""), BLOB_HEADERS)
    assert files(root) == [".r2mirror/lock", ".r2mirror/tmp"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_without_permission_is_denied(store: FolderStore, root: Path) -> None:
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    root.chmod(0o700)
    os.seteuid(65534)
    try:
        with pytest.raises(StoreDenied, match="run as the user who owns it"):
            store.put("v2/_ping", b"{}", JSON_HEADERS)
        with pytest.raises(StoreDenied, match="run as the user who owns it"):
            store.get("v2/_ping")
        with pytest.raises(StoreDenied, match="run as the user who owns it"):
            list(store.list("v2/"))
    finally:
        os.seteuid(0)


def test_a_copy_is_a_link_where_there_are_links_and_a_file_where_there_are_none(
    root: Path, store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("a", b"body", JSON_HEADERS)
    assert store.copy("a", "x/b", 4, BLOB_HEADERS)
    assert (root / "x/b").samefile(root / "a")

    def no_links(*_: object) -> None:
        raise OSError(errno.EMLINK, "no more links")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    assert store.copy("a", "x/c", 4, BLOB_HEADERS)
    assert not (root / "x/c").samefile(root / "a")
    assert (root / "x/c").read_bytes() == b"body"
    assert not store.copy("a", "x/d", 5, BLOB_HEADERS), "it has another size"
    assert files(root) == [".r2mirror/lock", ".r2mirror/tmp", "a", "x/b", "x/c"]


def test_a_link_to_elsewhere_is_not_copied(root: Path, store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"body")
    store.put("a", b"body", JSON_HEADERS)
    (root / "b").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="symbolic link"):
        store.copy("b", "c", 4, BLOB_HEADERS)


# What others put into the folder.


@pytest.mark.parametrize("own", ["tmp", "."])
def test_files_behind_a_link_in_the_place_of_a_folder_of_ours_stay(
    store: FolderStore, root: Path, tmp_path: Path, own: str
) -> None:
    foreign = tmp_path / "photos"
    (foreign / "tmp").mkdir(parents=True)
    for place in (foreign, foreign / "tmp"):
        (place / ("0" * 32)).write_text("mine")
    if own == "tmp":
        (root / ".r2mirror").mkdir(parents=True)
        (root / ".r2mirror" / "tmp").symlink_to(foreign)
    else:
        root.mkdir()
        (root / ".r2mirror").symlink_to(foreign)
    before = files(foreign)
    writes: list[Callable[[], object]] = [
        lambda: store.put("a", b"x", JSON_HEADERS),
        lambda: store.upload("a", iter([]), 0, Digest.of(b""), BLOB_HEADERS),
    ]
    for write in writes:
        with pytest.raises(StoreError, match=r"\.r2mirror.* is a symbolic link; .*has to be a folder"):
            write()
    assert files(foreign) == before


def test_of_what_is_in_the_temporary_folder_only_what_is_ours_is_removed(store: FolderStore, root: Path) -> None:
    temporary = root / ".r2mirror" / "tmp"
    temporary.mkdir(parents=True)
    (temporary / "README").write_text("somebody's")
    (temporary / ("1" * 32)).write_text("left by a writer that died")
    os.mkfifo(temporary / ("2" * 32))
    (temporary / ("3" * 32)).symlink_to(root / "a")
    store.put("a", b"x", JSON_HEADERS)
    assert sorted(path.name for path in temporary.iterdir()) == ["2" * 32, "3" * 32, "README"]


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize("put_there", [os.mkfifo, bind])
def test_a_pipe_or_device_is_not_waited_for(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, root: Path, put_there: Callable[[Path], None]
) -> None:
    (root / "v2").mkdir(parents=True)
    monkeypatch.chdir(root / "v2")  # The path of a socket has to be short.
    put_there(Path("a"))
    tries: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("v2/a"),
        "read": lambda: store.read("v2/a"),
        "size": lambda: store.size("v2/a"),
        "copy": lambda: store.copy("v2/a", "v2/b", 1, BLOB_HEADERS),
        "put": lambda: store.put("v2/a", b"x", JSON_HEADERS, Absent()),
    }
    for attempt in tries.values():
        with pytest.raises(StoreError, match=r"v2/a: .*it is a pipe, a socket or a device"):
            attempt()
    assert list(store.list("v2/")) == []
    store.put("v2/a", b"x", JSON_HEADERS)
    found = store.get("v2/a")
    assert found is not None
    assert found.body == b"x"


def test_a_pipe_or_device_can_be_removed(store: FolderStore, root: Path) -> None:
    (root / "v2").mkdir(parents=True)
    os.mkfifo(root / "v2" / "a")
    store.delete(["v2/a", "v2"])
    assert files(root) == [".r2mirror/lock"]


def test_a_pipe_in_the_place_of_the_lock_file_is_not_waited_for(store: FolderStore, root: Path) -> None:
    (root / ".r2mirror").mkdir(parents=True)
    os.mkfifo(root / ".r2mirror" / "lock")
    with pytest.raises(StoreError, match="it is a pipe, a socket or a device"):
        store.put("a", b"x", JSON_HEADERS)


# What is on the disk.


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose names are brought to the disk, in order."""
    found: list[Path] = []
    sync = folder._sync_folder

    def noted(path: Path) -> None:
        sync(path)
        found.append(path)

    monkeypatch.setattr(folder, "_sync_folder", noted)
    return found


def test_the_name_of_the_folder_itself_is_on_the_disk(store: FolderStore, root: Path, synced: list[Path]) -> None:
    store.put("v2/_ping", b"{}", JSON_HEADERS)
    assert synced == [root.parent, root, root / ".r2mirror", root, root / "v2"]


def test_a_removal_is_on_the_disk(store: FolderStore, root: Path, synced: list[Path]) -> None:
    for key in ("v2/a/1", "v2/a/2", "v2/b/c/1", "v2/b/2"):
        store.put(key, b"x", JSON_HEADERS)
    synced.clear()
    store.delete(["v2/a/1", "v2/a/2", "v2/b/c/1", "v2/none"])
    assert sorted(synced) == [root / "v2", root / "v2" / "b"], "once for each folder that lost a name, if it is there"


# File systems that take RC1 and rc1 for one name.


@pytest.fixture
def folding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of the system find a file whatever its capitals, as on macOS and Windows, and keep those of the first."""

    listdir, lstat = os.listdir, os.lstat

    def is_folder(path: Path) -> bool:
        try:
            return stat.S_ISDIR(lstat(path).st_mode)
        except OSError:
            return False

    def found(path: object) -> str:
        parts = Path(os.fsdecode(path)).parts  # type: ignore[arg-type]  # they are paths and strings
        real = Path(parts[0])
        for part in parts[1:]:
            names = listdir(real) if is_folder(real) else []
            real /= next((name for name in names if name.casefold() == part.casefold()), part)
        return str(real)

    for name in ("open", "stat", "lstat", "unlink", "mkdir", "rmdir"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda path, *args, _real=real, **kw: _real(path if isinstance(path, int) else found(path), *args, **kw),
        )
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda a, b: rename(found(a), found(b)))


@pytest.mark.usefixtures("folding")
def test_a_name_that_differs_only_in_its_capitals_is_refused_and_another_s_file_stays(store: FolderStore) -> None:
    store.put("v2/a/manifests/RC1", b"theirs", JSON_HEADERS)
    for write in (
        lambda: store.put("v2/a/manifests/rc1", b"ours", JSON_HEADERS),
        lambda: store.upload("v2/a/manifests/rc1", iter([b"ours"]), 4, Digest.of(b"ours"), BLOB_HEADERS),
        lambda: store.copy("v2/a/manifests/RC1", "v2/a/manifests/rc1", 6, BLOB_HEADERS),
    ):
        with pytest.raises(StoreError, match=r"this file system takes 'RC1', which is there, and 'rc1' for one name"):
            write()
    assert store.get("v2/a/manifests/rc1") is None
    assert store.size("v2/a/manifests/rc1") is None
    assert store.read("v2/a/manifests/rc1") is None
    assert not store.copy("v2/a/manifests/rc1", "v2/b", 6, BLOB_HEADERS)
    store.delete(["v2/a/manifests/rc1"])
    found = store.get("v2/a/manifests/RC1")
    assert found is not None
    assert found.body == b"theirs"
    store.put("v2/a/manifests/RC1", b"new", JSON_HEADERS)
    store.delete(["v2/a/manifests/RC1"])
    assert store.get("v2/a/manifests/RC1") is None


def test_capitals_make_a_difference_elsewhere(store: FolderStore) -> None:
    store.put("RC1", b"1", JSON_HEADERS)
    store.put("rc1", b"2", JSON_HEADERS)
    assert [row.key for row in store.list("")] == ["RC1", "rc1"]
