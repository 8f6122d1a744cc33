"""Damage that a disk, a copy or a mix-up does to files: bytes turned, ends cut off, files put in place of others."""

import itertools
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

SMALL: Final = 5  # times as many bytes as places are asked for, up to which every byte is turned

Blobs = Mapping[str, bytes]


class Ground:
    """A folder that is put back as it was after each case.

    Attributes:
        blobs: what its files held at the start, by their path inside.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs: Blobs = held(folder)

    def put(self, changes: Blobs) -> None:
        """Restore the folder, and then give some files another content."""
        if held(self.folder) != self.blobs:
            shutil.rmtree(self.folder)
            written(self.folder, self.blobs)
        written(self.folder, changes)


def held(folder: Path) -> Blobs:
    """The files of a folder, by their path inside; those that a killed process would leave among them."""
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


def written(folder: Path, blobs: Blobs) -> None:
    """Write files below a folder."""
    for name, blob in blobs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(blob)


def turned(blobs: Blobs, seed: int, count: int) -> Iterator[tuple[str, Blobs]]:
    """Each file with one byte turned: at every place of a small one, at `count` of others; one byte bit by bit."""
    random_ = random.Random(seed)
    for name, blob in blobs.items():
        every = range(len(blob))
        places: Sequence[int] = every if len(blob) <= SMALL * count else sorted(random_.sample(every, count))
        changes = [(at, random_.randrange(1, 256)) for at in places]
        if blob:
            at = random_.randrange(len(blob))
            changes += [(at, 1 << bit) for bit in range(8)]
        for at, mask in changes:
            yield f"{name}, byte {at} ^ {mask}", {name: blob[:at] + bytes([blob[at] ^ mask]) + blob[at + 1 :]}


def digits_changed(blobs: Blobs, seed: int, count: int) -> Iterator[tuple[str, Blobs]]:
    """Each file of text with one digit made another, which leaves it well formed."""
    random_ = random.Random(seed)
    for name, blob in blobs.items():
        places = [at for at, letter in enumerate(blob) if 48 <= letter <= 57]
        if b"\0" in blob or not places:
            continue
        for at in places if len(places) <= count else sorted(random_.sample(places, count)):
            digit = b"%d" % ((blob[at] - 48 + random_.randrange(1, 10)) % 10)
            yield f"{name}, digit {at} is {digit!r}", {name: blob[:at] + digit + blob[at + 1 :]}


def cut(blobs: Blobs, seed: int, count: int) -> Iterator[tuple[str, Blobs]]:
    """Each file cut off at its first and last bytes, its halves, its lines, and `count` other places."""
    random_ = random.Random(seed)
    for name, blob in blobs.items():
        whole = len(blob)
        ends = [at + 1 for at, letter in enumerate(blob) if letter == 10][-count:] if b"\0" not in blob else []
        at_random = [random_.randrange(whole) for _ in range(count)] if whole else []
        places = {0, 1, 2, 7, 8, 9, whole // 2, whole - 2, whole - 1, *ends, *(one - 1 for one in ends), *at_random}
        for at in sorted(place for place in places if 0 <= place < whole):
            yield f"{name}, cut to {at} of {whole} bytes", {name: blob[:at]}


def grown(blobs: Blobs) -> Iterator[tuple[str, Blobs]]:
    """Each file with more behind its end: zeros, itself again, a line of its own."""
    for name, blob in blobs.items():
        for said, more in (
            ("zeros", bytes(512)),
            ("itself", blob),
            ("its last line", blob[-1:].join(blob.split(b"\n")[-2:])),
        ):
            if more:
                yield f"{name}, and {said} behind it", {name: blob + more}


def exchanged(blobs: Blobs) -> Iterator[tuple[str, Blobs]]:
    """Every two files that differ, each in place of the other."""
    for one, other in itertools.combinations(blobs, 2):
        if blobs[one] != blobs[other]:
            yield f"{one} and {other} exchanged", {one: blobs[other], other: blobs[one]}


def foreign(blobs: Blobs, others: Mapping[str, Blobs]) -> Iterator[tuple[str, Blobs]]:
    """Files of another folder in place of those of the same name: each alone, each folder of them, and all but one."""
    for said, other in others.items():
        both = [name for name in blobs if name in other and blobs[name] != other[name]]
        for name in both:
            yield f"{name} of {said}", {name: other[name]}
        for folder in sorted({str(Path(name).parent) for name in both} - {"."}):
            yield f"{folder} of {said}", {name: other[name] for name in both if name.startswith(f"{folder}/")}
        for left in both:
            yield f"all but {left} of {said}", {name: other[name] for name in both if name != left}


def older(blobs: Blobs) -> Iterator[tuple[str, Blobs]]:
    """Files of one checkpoint in the place of those of another: each of three, each two, all of them."""
    steps: dict[str, dict[str, bytes]] = {}
    for name, blob in blobs.items():
        if Path(name).parent.name.startswith("step-"):
            steps.setdefault(str(Path(name).parent), {})[Path(name).name] = blob
    for there, here in itertools.permutations(steps, 2):
        for count in (1, 2, 3):
            for names in itertools.combinations(steps[there], count):
                changes = {f"{here}/{name}": steps[there][name] for name in names}
                yield f"{', '.join(names)} of {there} in {here}", changes
