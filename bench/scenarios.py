"""The scenarios: each yields its rows, one for each tool or size, in rounds that take turns."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from bench import data, tools
from bench.measure import MIB, Cost, run, spread
from bench.tools import OURS
from tests.parts.docker_registry import start_docker_registry
from tests.parts.faulty_s3 import start_faulty_s3
from tests.parts.process import find_program
from tests.parts.seaweedfs import ACCESS_KEY, SECRET_KEY, empty, new_bucket, start_seaweedfs

if TYPE_CHECKING:
    from tests.parts.docker_registry import DockerRegistry
    from tests.parts.seaweedfs import S3Bucket

CREDENTIALS = {"R2_ACCESS_KEY_ID": ACCESS_KEY, "R2_SECRET_ACCESS_KEY": SECRET_KEY}
NOT_COUNTED = "a first round, in which the servers grow to what they need, at the cost of whoever comes first"


def say(line: str) -> None:
    """Prints a line of progress. On a busy machine a round takes minutes, and a table comes only after all of them."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Table:
    """The figures of a scenario: for each tool what each round cost, and the requests to the source."""

    title: str
    costs: dict[str, list[Cost]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, tool: str, cost: Cost) -> None:
        self.costs.setdefault(tool, []).append(cost)
        say(f"{self.title}: {tool} took {cost.seconds:.2f} s")


@dataclass(frozen=True)
class Ground:
    """What is measured, and the servers of a scenario: a registry to read from, an S3 server, a second registry.

    `folder` is for files.
    """

    program: Path
    registry: DockerRegistry
    s3: str
    other: DockerRegistry
    folder: Path

    def fresh(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    @contextlib.contextmanager
    def bucket(self) -> Iterator[S3Bucket]:
        """An empty one. It has held an object: at its first write SeaweedFS makes its files, which takes 0.2 s."""
        with new_bucket(self.s3, f"bench-{uuid.uuid4().hex[:12]}") as bucket:
            bucket.client().put_object(Bucket=bucket.bucket, Key="first", Body=b"1")
            empty(bucket)
            yield bucket

    def empty_other(self) -> None:
        """Removes what the second registry holds; it keeps nothing in memory."""
        shutil.rmtree(self.other.data / "docker/registry/v2", ignore_errors=True)

    def job(self, repositories: tuple[str, ...]) -> tools.Job:
        return tools.Job(self.program, self.registry.host, repositories, self.fresh("job"))


Scenario: TypeAlias = "Callable[[Ground, int, bool], Iterator[Table]]"


@contextlib.contextmanager
def ground(program: Path) -> Iterator[Ground]:
    with TemporaryDirectory(prefix="r2mirror-bench-") as name:
        folder = Path(name)
        with (
            start_docker_registry(folder / "registry") as registry,
            start_docker_registry(folder / "other") as other,
            start_seaweedfs(folder / "seaweedfs") as s3,
        ):
            yield Ground(program, registry, s3, other, folder)


def cold_big(place: Ground, rounds: int, small: bool) -> Iterator[Table]:
    """One image of 4 x 256 MiB into an empty bucket."""
    mib = 4 if small else 256
    data.push_big(place.registry.host, "big/image", 4, mib)
    table = Table(f"cold copy, one image of 4 x {mib} MiB")
    _cold(place, Table(NOT_COUNTED), ("big/image",))
    for _ in range(rounds):
        _cold(place, table, ("big/image",))
    yield table


def memory(place: Ground, rounds: int, small: bool) -> Iterator[Table]:
    """Does a layer of 8 GiB need more memory than small ones? Do many workers?"""
    for layers, mib, options in ((1, 64 if small else 8192, ""), (40, 1 if small else 12, " --workers 32")):
        repository = f"layers{layers}/image"
        data.push_big(place.registry.host, repository, layers, mib)
        table = Table(f"cold copy, one image of {layers} x {mib} MiB{options}")
        for _ in range(rounds):
            job = place.job((repository,))
            with place.bucket() as bucket:
                table.add(OURS, run([*tools.r2mirror(job, bucket), *options.split()], job.folder, CREDENTIALS))
        yield table


def many_tags(place: Ground, rounds: int, small: bool) -> Iterator[Table]:
    """60 tags x 2 platforms that share layers, into an empty bucket, and again with nothing new."""
    tags = 6 if small else 60
    data.push_many(place.registry.host, "many/app", tags, 18)
    cold = Table(f"{tags} tags x 2 platforms sharing layers, 18 MiB unique, cold")
    again = Table("the same with nothing new")
    _cold(place, Table(NOT_COUNTED), ("many/app",))
    for _ in range(rounds):
        _cold(place, cold, ("many/app",), again)
        place.empty_other()
        job = place.job(("many/app",))
        for table in (cold, again):
            table.add("skopeo sync", run(tools.skopeo_sync(job, place.other.host), job.folder, {}))
    again.notes += _bucket_requests(place, ("many/app",))
    yield cold
    yield again


def wide(place: Ground, rounds: int, small: bool) -> Iterator[Table]:
    """10,000 tags in 200 repositories with nothing new."""
    repositories, tags = (4, 5) if small else (200, 50)
    data.push_wide(place.registry.host, repositories, tags)
    names = tuple(f"wide/app{number:03}" for number in range(repositories))
    table = Table(f"{repositories * tags} tags in {repositories} repositories, nothing new")
    job = place.job(names)
    with place.bucket() as bucket:
        command = tools.r2mirror(job, bucket)
        run(command, job.folder, CREDENTIALS)
        starts, rates = [], []
        for _ in range(rounds):
            starts.append(run([*command, "--only", names[0]], job.folder, CREDENTIALS).seconds)
            whole = run(command, job.folder, CREDENTIALS)
            table.add(OURS, whole)
            rates.append((repositories - 1) * tags / (whole.seconds - starts[-1]))
    table.notes.append(
        f"{spread(rates):.0f} tags a second after start-up: the time that it takes more than the same with `--only` "
        f"{names[0]}, which takes {spread(starts)} s and reads the same mirror index"
    )
    yield table


def scale(_place: Ground, _rounds: int, small: bool) -> Iterator[Table]:
    """A plan over an index with everything unchanged but 10 tags, source calls aside."""
    table = Table("plan, from the bytes of the mirror index to the text; all unchanged but 10 tags; source calls aside")
    for tags in (1000, 10_000) if small else (1000, 10_000, 100_000, 1_000_000):
        command = [sys.executable, "-m", "bench.plan_scale", str(tags)]
        table.notes.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    yield table


def registries(place: Ground, rounds: int, small: bool) -> Iterator[Table]:
    """From registry to registry: one large image and many small ones into an empty one, and again with nothing new."""
    mib, tags, repositories, wide_tags = (1, 6, 2, 2) if small else (256, 60, 50, 40)
    data.push_big(place.registry.host, "big/image", 4, mib)
    data.push_many(place.registry.host, "many/app", tags, 18)
    data.push_wide(place.registry.host, repositories, wide_tags)
    wide = tuple(f"wide/app{number:03}" for number in range(repositories))
    big = Table(f"registry to registry, cold, one image of 4 x {mib} MiB")
    cold = Table(f"registry to registry, cold, {tags} tags x 2 platforms sharing layers, 18 MiB unique")
    again = Table("the same with nothing new")
    all_there = Table(
        f"registry to registry, {repositories * wide_tags} tags in {repositories} repositories, nothing new"
    )
    _pushed(place, Table(NOT_COUNTED), ("many/app",))
    for _ in range(rounds):
        _pushed(place, big, ("big/image",))
        _pushed(place, cold, ("many/app",), again)
    _nothing_new(place, all_there, wide, rounds)
    yield from (big, cold, again, all_there)


def startup(place: Ground, rounds: int, small: bool) -> Iterator[Table]:
    """`--help`, and `validate` of a 200-line file."""
    folder = place.fresh("startup")
    mirrors = "\n".join(
        f"  - source: docker.io/library/app{number}\n    tags:\n      - latest\n      - semver: '>={number}'"
        for number in range(48)
    )
    (folder / "mirrors.yaml").write_text(f"version: 1\nstore:\n  type: file\n  path: ./mirror\nmirrors:\n{mirrors}\n")
    table = Table("start-up")
    for _ in range(rounds):
        for arguments in (["--help"], ["validate"]):
            table.add(f"r2mirror {arguments[0]}", run([str(place.program), *arguments], folder, {}))
    yield table


SCENARIOS: dict[str, Scenario] = {
    "cold-big": cold_big,
    "memory": memory,
    "many-tags": many_tags,
    "wide": wide,
    "registries": registries,
    "scale": scale,
    "startup": startup,
}


def _cold(place: Ground, table: Table, repositories: tuple[str, ...], again: Table | None = None) -> None:
    """One round of ours, rclone alone and the manual way, each into a bucket of its own that is empty at first."""
    job = place.job(repositories)
    files = place.fresh("files")
    for repository in repositories:
        skopeo = find_program("skopeo", "apt-get install skopeo")
        fetch = f"{skopeo} --insecure-policy sync --all --scoped --src-tls-verify=false --src docker --dest dir"
        subprocess.run([*fetch.split(), f"{place.registry.host}/{repository}", files], check=True, capture_output=True)
    with place.bucket() as our_bucket, place.bucket() as bucket_by_hand, place.bucket() as bucket_alone:
        ours, by_hand = tools.r2mirror(job, our_bucket), tools.manual(job, bucket_by_hand)
        before = len(place.registry.requests())
        table.add(OURS, run(ours, job.folder, CREDENTIALS))
        table.notes[:] = [_asked(place.registry, before)]
        table.add("rclone alone", run(tools.rclone(files, job, bucket_alone), job.folder, {}))
        table.add("by hand", run(by_hand, job.folder, {}))
        if again:
            before = len(place.registry.requests())
            again.add(OURS, run(ours, job.folder, CREDENTIALS))
            again.notes[:] = [_asked(place.registry, before)]
            again.add("by hand", run(by_hand, job.folder, {}))


def _pushed(place: Ground, table: Table, repositories: tuple[str, ...], again: Table | None = None) -> None:
    """One round of each tool, into a registry that is empty at first, and then again with nothing new."""
    for name, tool in tools.pushers().items():
        place.empty_other()
        job = place.job(repositories)
        command = tool(job, place.other.host)
        for one in filter(None, (table, again)):
            before, there = len(place.registry.requests()), len(place.other.requests())
            one.add(name, run(command, job.folder, {}))
            if name == OURS:
                one.notes[:] = [_asked(place.registry, before), _asked(place.other, there, "target")]


def _nothing_new(place: Ground, table: Table, repositories: tuple[str, ...], rounds: int) -> None:
    """Rounds of each tool over a registry that has everything; each has run once before."""
    place.empty_other()
    jobs = {}
    for name, tool in tools.pushers(at_once=8).items():
        folder = place.fresh(f"job-{name.replace(' ', '-')}")
        job = replace(place.job(repositories), folder=folder)
        jobs[name] = (tool(job, place.other.host), folder)
        run(*jobs[name], {})
    for _ in range(rounds):
        for name, (command, folder) in jobs.items():
            before, there = len(place.registry.requests()), len(place.other.requests())
            table.add(name, run(command, folder, {}))
            if name == OURS:
                table.notes[:] = [_asked(place.registry, before), _asked(place.other, there, "target")]


def _asked(registry: DockerRegistry, before: int, what: str = "source") -> str:
    """What r2mirror asked the source, or the target, for, by its access log."""
    asked = registry.requests()[before:]
    counted = Counter(f"{one.method} {_kind(one.path)}" for one in asked)
    size = sum(one.size for one in asked if one.method == "GET")
    return f"requests to the {what} by r2mirror: {_list(counted) or 'none'}; {size / MIB:.1f} MiB downloaded"


def _bucket_requests(place: Ground, repositories: tuple[str, ...]) -> Iterator[str]:
    """What the bucket is asked for, cold and with nothing new, counted by a proxy before it: not timed, it is slow."""
    for tool, make in ((OURS, tools.r2mirror), ("by hand", tools.manual)):
        job = place.job(repositories)
        with place.bucket() as bucket, start_faulty_s3(place.s3) as counting:
            command = make(job, replace(bucket, endpoint_url=counting.url))
            for words in ("cold", "with nothing new"):
                counting.asked.clear()
                run(command, job.folder, CREDENTIALS)
                counted = Counter(line.partition(" ")[0] for line, _ in counting.asked)
                sent = sum(size for _, size in counting.asked) / MIB
                yield f"requests to the bucket ({tool}, {words}): {_list(counted)}; {sent:.1f} MiB uploaded"


def _kind(path: str) -> str:
    return next((kind for kind in ("manifests", "blobs", "tags") if f"/{kind}/" in path), "other")


def _list(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counted.items()))
