"""Hostile files given to the command line: no code, no secret, no change outside, no growth, no traceback."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from energy.component import from_dict
from energy.train.export import export
from energy.train.fit import fit
from energy.train.registration import register_builtins
from energy.train.run import Run
from tests.ordeal.damage import held
from tests.ordeal.figures import record
from tests.ordeal.hostile import Case, cases

pytestmark = pytest.mark.slow

SECRET: Final = "hunter2-of-the-environment-of-an-ordeal"
GROWTH: Final = 1 << 20  # KiB above those of a child that prints the version
MOST: Final = 10.0  # seconds of the processor
EVIL: Final = "open({!r}, 'w').close()\n"
CHUNK: Final = 1 << 20


class Warm:
    """The warm process, and the children that it forks."""

    def __init__(self, log: Path) -> None:
        environment = {**os.environ, "API_TOKEN": SECRET, "MPLBACKEND": "agg", "COLUMNS": "200"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.ordeal.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        self.log = log
        assert self._line() == "ready"

    def run(self, words: list[str], folder: Path) -> tuple[dict[str, Any], bytes]:
        """What became of a command line, and what it said."""
        env = {
            "ENERGY_DATA": str(folder / "data"),
            "ENERGY_CACHE": str(folder / "cache"),
            "XDG_CACHE_HOME": str(folder),
        }
        job = {"words": words, "folder": str(folder), "env": env, "log": str(self.log)}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        return json.loads(self._line()), self.log.read_bytes()

    def close(self) -> None:
        """End the warm process."""
        self.process.communicate(timeout=60)

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    one = Warm(tmp_path_factory.mktemp("log") / "said")
    yield one
    one.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run and a file of its weights."""
    folder = tmp_path_factory.mktemp("sound")
    register_builtins()
    plain = {
        "model": {"name": "mlp", "sizes": [4], "hidden": {"name": "hard_sigmoid"}},
        "data": {"name": "digits", "limit": 60, "crop": 1},
        "settler": {"name": "dual_propagation"},
        "train": {"epochs": 2, "batch_size": 16, "progress": False, "probe_every": 0, "program": "off"},
        "out": str(folder / "run"),
    }
    fit(from_dict(Run, plain, path=""))
    export(folder / "run", folder / "sound.safetensors")
    return folder


def faults(case: Case, warm: Warm, place: Path, sound: Path, least: int, tally: Counter[str]) -> Iterator[str]:
    """What is wrong with how a case ended."""
    work, outside = place / "work", place / "outside"
    shutil.copytree(sound, work)
    outside.mkdir(parents=True)
    (outside / "keep").write_text("as it was")
    canary = place / "canary"
    (work / "evil.py").write_text(EVIL.format(str(canary)))
    case.put(work)
    before = held(outside)
    ended, said = warm.run(list(case.words), work)
    tally["peak_MiB"] = max(tally["peak_MiB"], (ended["kib"] - least) >> 10)
    tally["slowest_ms"] = max(tally["slowest_ms"], int(1000 * ended["seconds"]))
    tally["refused"] += ended["status"] in (1, 2)
    told = said.decode(errors="replace")
    if canary.exists() or [*place.rglob("canary*")]:
        yield "code ran"
    if b"Traceback" in said or "a defect" in told:
        yield f"traceback: {told[-700:]}"
    if ended["status"] not in case.status:
        yield f"status {ended['status']}, not {case.status}: {told[-300:]}"
    if ended["late"]:
        yield "did not end"
    if ended["seconds"] > MOST:
        yield f"took {ended['seconds']:.1f} s"
    if ended["kib"] - least > GROWTH:
        yield f"took {(ended['kib'] - least) >> 10} MiB more"
    if held(outside) != before:
        yield "something outside was changed"
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told):
        yield f"moves the cursor: {told[:300]!r}"
    if SECRET in told or [one for one in work.rglob("*") if one.is_file() and holds_secret(one)]:
        yield "a secret of the environment is told"


def holds_secret(path: Path) -> bool:
    """True if a file holds the secret in its first MiB."""
    with path.open("rb") as stream:
        return SECRET.encode() in stream.read(CHUNK)


def test_every_hostile_file(warm: Warm, sound: Path, tmp_path: Path) -> None:
    every = list(cases())
    kinds = Counter(case.name.partition(":")[0] for case in every)
    assert len(every) >= 40 and len(kinds) >= 10 and len({case.name for case in every}) == len(every)
    least, said = warm.run(["--version"], sound)
    assert least["status"] == 0 and not least["late"], said
    begun, tally, found = time.monotonic(), Counter[str](), list[str]()
    for number, case in enumerate(every):
        place = tmp_path / str(number)
        found += [f"{case.name}: {fault}" for fault in faults(case, warm, place, sound, least["kib"], tally)]
        shutil.rmtree(place)
    seconds = round(time.monotonic() - begun, 1)
    slowest = tally.pop("slowest_ms") / 1000
    record(
        "hostile files",
        cases=len(every),
        kinds=len(kinds),
        **tally,
        faults=len(found),
        slowest_s=slowest,
        seconds=seconds,
    )
    told = "\n".join(found[:60])
    assert not found, f"{len(found)} faults:\n{told}"


def test_the_canary_sings(warm: Warm, sound: Path, tmp_path: Path) -> None:
    """What is watched for is seen: code that runs, a secret that is told, a file outside, a traceback, memory, time."""
    work, outside = tmp_path / "work", tmp_path / "outside"
    shutil.copytree(sound, work)
    outside.mkdir()
    (work / "evil.py").write_text(
        f"import os\nopen({str(tmp_path / 'canary')!r}, 'w').close()\nopen({str(outside / 'x')!r}, 'w').close()\n"
        "print(os.environ['API_TOKEN'])\nheld = bytearray(os.urandom(1) * (1100 << 20))\nraise KeyError(3)\n"
    )
    least, _ = warm.run(["--version"], work)
    ended, said = warm.run(["train", "--plugin", "evil.py"], work)
    assert (tmp_path / "canary").exists() and (outside / "x").exists() and SECRET.encode() in said
    assert ended["kib"] - least["kib"] > GROWTH and ended["status"] not in (0, 99)
