"""What is promised, as text: names, signatures, fields and verbs. `python -m tests.packaging.api` rewrites the list.

The list is `api.txt` beside this file; docs/stability.md says what each part of it promises.
"""

import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import energy
from energy.command.catalog import load_all
from energy.command.verbs import VERBS
from energy.component import Component, annotations
from tests.docs.pages import ROOT
from tests.docs.signatures import entries, resolve

LIST: Final = Path(__file__).with_name("api.txt")
OURS: Final = "energy."
STABLE: Final = ("energy.component.", "energy.errors.", "energy.testing.")
HEAD: Final = "# Written by `python -m tests.packaging.api`; docs/stability.md says what each part promises.\n"
PARTS: Final = ("stable", "configuration", "command line", "provisional")
Signatures = dict[str, str]


def collected() -> dict[str, Signatures]:
    """Every part of the list: name to signature, which is empty for what is not called."""
    load_all()
    page = {name: resolve(name) for name, _ in entries(ROOT / "docs" / "api.md")}
    scripts = {f"energy.{name}": getattr(energy, name) for name in energy.__all__}
    shared = {name: found for name, found in page.items() if name.startswith(STABLE) and found not in scripts.values()}
    homes = {id(found): name for name, found in (shared | scripts).items()}
    places = {name: _place(name, homes) for name in page}
    chosen = {cls: key for key, cls in Component.registry.items() if cls.__module__.startswith(OURS)}
    return {
        "stable": {
            name: signature(found)
            for name, found in {**scripts, **shared, **{places[name]: page[name] for name in page}}.items()
            if name in homes.values() or name.rpartition(".")[0] in homes.values()
        },
        "configuration": {f"{group}={name}": signature(cls) for cls, (group, name) in chosen.items()},
        "command line": {f"energy {name}": f" {verb.usage}" for name, verb in VERBS.items()},
        "provisional": {
            name: "" if found in chosen else signature(found)
            for name, found in page.items()
            if places[name] == name and id(found) not in homes and name.rpartition(".")[0] not in homes.values()
        },
    }


def _place(name: str, homes: Mapping[int, str]) -> str:
    """The stable name of something documented, as `energy.Network.add` of `energy.network.Network.add`; or itself."""
    owner, _, last = name.rpartition(".")
    found, above = resolve(name), resolve(owner)
    if id(found) in homes:
        return homes[id(found)]
    return f"{homes[id(above)]}.{last}" if inspect.isclass(above) and id(above) in homes else name


def signature(found: Any) -> str:
    """Parameters with their defaults; the members of an enumeration; nothing for what is not called."""
    if inspect.isclass(found) and issubclass(found, enum.Enum):
        return f"{{{', '.join(member.name.lower() for member in found)}}}"
    foreign = inspect.isclass(found) and not getattr(found.__init__, "__module__", "").startswith("energy")
    if not callable(found) or (foreign and not dataclasses.is_dataclass(found)):
        return ""
    shown, kinds = [], set[Any]()
    for name, one in inspect.signature(cast(Any, found)).parameters.items():
        if one.kind is one.KEYWORD_ONLY and not kinds & {one.KEYWORD_ONLY, one.VAR_POSITIONAL}:
            shown.append("*")
        kinds.add(one.kind)
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        given = "" if one.default is one.empty else f"={_value(_default(found, name, one.default))}"
        shown.append(f"{stars}{name}{given}")
    return f"({', '.join(name for name in shown if name != 'self')})"


def _default(found: Any, name: str, default: Any) -> Any:
    """The default itself: of a field with a factory, what the factory makes."""
    field = getattr(found, "__dataclass_fields__", {}).get(name)
    return _declared(field) if field is not None else default


def _declared(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _value(default: Any) -> str:
    """A default in the words of a configuration."""
    if isinstance(default, Component):
        fields = {field.name: field for field in dataclasses.fields(default)}
        given = {name: getattr(default, name) for name in annotations(type(default))}
        said = [f"{name}={_value(one)}" for name, one in given.items() if one != _declared(fields[name])]
        return f"{default.name or type(default).__name__}({', '.join(said)})"
    if isinstance(default, list | tuple):
        return f"[{', '.join(map(_value, default))}]"
    if isinstance(default, enum.Enum):
        return default.name.lower()
    if inspect.isclass(default):
        return default.__name__
    return type(default).__name__ if " at 0x" in repr(default) else repr(default)


def text(parts: Mapping[str, Signatures]) -> str:
    """The list as it is written."""
    lines = [f"\n[{part}]\n" + "".join(f"{key}{said}\n" for key, said in sorted(parts[part].items())) for part in PARTS]
    return HEAD + "".join(lines)


def read(listed: str) -> dict[str, Signatures]:
    """The parts of a written list."""
    parts = {part: Signatures() for part in PARTS}
    part = PARTS[0]
    for line in listed.splitlines():
        if heading := re.fullmatch(r"\[(.+)\]", line):
            part = heading[1]
        elif line and not line.startswith("#"):
            verb = r"energy [\w-]+" if part == "command line" else r"[\w.=]+"
            name = re.match(verb, line)
            assert name is not None, line
            parts[part][name[0]] = line[name.end() :]
    return parts


def differences(before: Mapping[str, Signatures], now: Mapping[str, Signatures]) -> list[tuple[str, str]]:
    """What was added, removed or changed: the name, and a line that says so."""
    found = []
    for part in PARTS:
        for name in sorted(before[part].keys() | now[part].keys()):
            was, is_now = before[part].get(name), now[part].get(name)
            if was is None:
                found.append((name, f"added to {part}: {name}{is_now}"))
            elif is_now is None:
                found.append((name, f"removed from {part}: {name}{was}"))
            elif was != is_now:
                found.append((name, f"changed in {part}: {name}: {was.strip()} became {is_now.strip()}"))
    return found


def unspoken(changes: list[tuple[str, str]], changelog: str) -> list[str]:
    """The lines of `differences` that take something away and whose name the newest section does not have in backticks.

    `energy.Network.add` is named by `Network.add`, and a function by its last word.
    """
    newest = re.split(r"^## ", changelog, flags=re.MULTILINE)[1]
    spans = re.findall(r"`([^`]+)`", newest)
    told = [line for name, line in changes if line.startswith("added") or any(_says(span, name) for span in spans)]
    return [line for _, line in changes if line not in told]


def _says(span: str, name: str) -> bool:
    short = name if re.search("[ =]", name) else re.sub(r"^(?:[a-z_]+\.)+(?=\w)", "", name)
    return re.search(rf"(?<![\w.=]){re.escape(short)}(?![\w=])", span.replace("energy.", "")) is not None


def main() -> int:
    """Rewrite the list, unless something is taken away of which the changelog does not speak."""
    now = collected()
    changes = differences(read(LIST.read_text(encoding="utf-8") if LIST.exists() else ""), now)
    missing = unspoken(changes, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    print(*(line for _, line in changes), sep="\n")
    if missing:
        print("\nnot written: the newest section of CHANGELOG.md must name, in backticks,", *missing, sep="\n")
        return 1
    LIST.write_text(text(now), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
