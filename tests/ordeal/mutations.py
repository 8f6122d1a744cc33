"""Mutations of valid inputs by seeded chance, and the shortening of an input that shows a fault."""

import copy
import json
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

NUMBERS: Final = (0, 1, 2, 4, 7, 8, 16, 31, 63, 64, 127, 128, 255)
WORDS: Final = (
    *(b"0", b"-1", b"1e999", b"nan", b"NaN", b"null", b"true", b"[", b"]", b"{", b"}", b":", b",", b"'", b'"', b"\\"),
    *(b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"${", b"${a}", b"&a ", b"*a", b"- ", b"? ", b"<<: "),
    *(b"\n", b"\r\n", b"\t", b"#", b"!!", b"\xc3\xa9", b"\\ud800", b"99999999999999999999", b"\x1b[2J", b"=", b"@"),
)
VALUES: Final[Sequence[Any]] = (
    *(None, True, False, 0, 1, -1, 2, 10**6, 10**18, 10**30, -(10**18), 0.0, 0.5, -1.5, 1e300, 1e-300),
    *("", "x", "0", "cpu", "\x1b[2J", "\u00e9", "a" * 3000, "../../x", "${oc.env:HOME}", "_target_"),
    *([], [0], [None], ["x"], [[]], [1, 2, 3], {}, {"x": 1}, {"name": "mlp"}, {"name": None}, {"": {}}),
)
TOKEN: Final = re.compile(rb"[A-Za-z_0-9.]+|\s+|.", re.DOTALL)


def changed_bytes(random: Random, blob: bytes, others: Sequence[bytes]) -> bytes:
    """Flips, splices, repeated and dropped pieces, numbers at the edges of their range: one to four of them."""
    for _ in range(random.randrange(1, 5)):
        size = len(blob)
        at = random.randrange(size + 1)
        end = min(size, at + random.choice((1, 1, 2, 4, 8, 40)))
        kind = random.randrange(8)
        if kind == 0 and size:
            at = min(at, size - 1)
            blob = blob[:at] + bytes([blob[at] ^ (1 << random.randrange(8))]) + blob[at + 1 :]
        elif kind == 1:
            blob = blob[:at] + bytes([random.choice(NUMBERS)]) * (end - at) + blob[end:]
        elif kind == 2:
            blob = blob[:at] + blob[end:]
        elif kind == 3:
            blob = blob[:end] + blob[at:end] * random.choice((1, 2, 50)) + blob[end:]
        elif kind == 4:
            other = random.choice(others)
            start = random.randrange(len(other) + 1)
            blob = blob[:at] + other[start : start + random.randrange(1, 200)] + blob[end:]
        elif kind == 5:
            blob = blob[:at] + random.choice(WORDS) * random.choice((1, 1, 1, 3, 100)) + blob[at:]
        elif kind == 6:
            blob = blob[:at] if random.random() < 0.3 else blob
        else:
            tokens = TOKEN.findall(blob)
            if 1 < len(tokens) < 20_000:
                one, two = random.randrange(len(tokens)), random.randrange(len(tokens))
                tokens[one], tokens[two] = tokens[two], tokens[one]
                blob = b"".join(tokens)
    return blob


def changed_values(random: Random, plain: Any) -> Any:
    """Nested values of which one to three are replaced, dropped, doubled or moved; as JSON can hold them."""
    plain = json.loads(json.dumps(plain))
    for _ in range(random.randrange(1, 4)):
        places = list(_places(plain))
        if not places:
            return _value(random)
        holder, name = random.choice(places)
        kind = random.randrange(6)
        if kind < 3:
            holder[name] = _value(random)
        elif kind == 3:
            del holder[name]
        elif kind == 4:
            other, there = random.choice(places)
            if there in other if isinstance(other, dict) else there < len(other):
                holder[name] = json.loads(json.dumps(other[there]))
        elif isinstance(holder, dict):
            holder[random.choice(("", "x", "name", f"{name} "))] = holder.pop(name)
        else:
            holder.extend([holder[name]] * random.choice((1, 30)))
    return plain


def _value(random: Random) -> Any:
    """A value of its own: what is put into it later must be in no other place, least of all in itself."""
    return copy.deepcopy(random.choice(VALUES))


def _places(plain: Any) -> list[tuple[Any, Any]]:
    """Every entry of nested dictionaries and lists: what holds it, and its name or number in there."""
    found: list[tuple[Any, Any]] = []
    left = [plain]
    while left:
        holder = left.pop()
        if isinstance(holder, dict | list):
            names = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            found += [(holder, name) for name in names]
            left += [holder[name] for name in names]
    return found


def shortened(blob: bytes, shows: Callable[[bytes], bool], tries: int = 300) -> bytes:
    """The shortest input that was found to show the same fault, by leaving out ever smaller pieces."""
    piece = max(1, len(blob) // 2)
    while piece and tries > 0:
        at = 0
        while at < len(blob) and tries > 0:
            tries -= 1
            less = blob[:at] + blob[at + piece :]
            if shows(less):
                blob = less
            else:
                at += piece
        piece //= 2
    return blob
