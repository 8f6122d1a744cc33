"""Files of configurations from anyone: no environment, no code, no growth, no other files, no traceback."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from energy.command.arguments import parse
from energy.command.compose import plan
from energy.command.composition import MOST as FILES
from energy.command.interpolation import LETTERS, LONGEST, MOST, is_plain, resolved
from energy.component import Component, ConfigurationError, to_dict
from energy.io.plain_yaml import DEEPEST, LARGEST, yaml_values
from energy.io.plain_yaml import MOST as VALUES
from energy.study.override_grammar import parsed, swept_values

Write = Callable[[str], list[str]]
SECRET = "hunter2-of-the-environment"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", SECRET)


def composed(job: type[Component], *words: str) -> list[dict[str, Any]]:
    return [to_dict(one) for one in plan(job, "job", parse(words))]


def refused(job: type[Component], *words: str) -> str:
    """The line of a refusal, which took seconds at most and repeats no secret."""
    begun = time.process_time()
    with pytest.raises(ConfigurationError) as caught:
        composed(job, *words)
    assert time.process_time() - begun < 10
    told = str(caught.value)
    assert SECRET not in told and told.isprintable() and len(told) < 2000
    return told


NAMES = (
    "${oc.env:API_TOKEN}",
    "${ oc.env : API_TOKEN }",
    "${oc.env:API_TOKEN,none}",
    "${${tool.kind}:API_TOKEN}",
    "${oc.${tool.kind}:API_TOKEN}",
    "${${tool.kind}.env:API_TOKEN}",
    "${oc.decode:${oc.env:API_TOKEN}}",
    "${oc.env:${seed}}",
    "${env:API_TOKEN}",
    "${hydra:job.env_set.API_TOKEN}",
    "${now:%Y}",
    "${python_version:}",
    "${oc.select:seed}",
    "${oc.create:{a:1}}",
    "${oc.dict.keys:tool}",
    "${oc.deprecated:seed}",
    "${:API_TOKEN}",
    "${tool[${seed}]}",
    "a${seed}b${oc.env:API_TOKEN}",
    "\\${oc.env:API_TOKEN}",
    "\\\\${oc.env:API_TOKEN}",
    "${",
    "${}",
    "${seed",
    "$${oc.env:API_TOKEN}",
)


@pytest.mark.parametrize("text", NAMES)
def test_nothing_but_another_field_can_be_named(job: type[Component], experiment: Write, text: str) -> None:
    assert not is_plain(text)
    for body in (f"out: '{text}'\n", f"tool:\n  '{text}': 1\n", f"widths: [1, '{text}']\n"):
        assert "refused" in refused(job, *experiment(f"title: oc.env\n{body}"))
    for words in ([f"out='{text}'"], ["-m", "seed=1,2", f"out='{text}','x'"]):
        told = refused(job, *words)
        assert "refused" in told or "cannot be read" in told


@pytest.mark.parametrize(
    "word",
    [
        "out=$\\{oc.env\\:API_TOKEN}",
        "out=$\\{oc.env:API_TOKEN\\}",
        "out=${oc.env:API_TOKEN}",
        "out=str('${oc.env:API_TOKEN}')",
        "out={a: '${oc.env:API_TOKEN}'}",
        "out={'${oc.env:API_TOKEN}': 1}",
        "out=sort(['${oc.env:API_TOKEN}'])",
        "tool={name: saw, teeth: '${oc.env:API_TOKEN}'}",
        "experiment='${oc.env:API_TOKEN}'",
        "tool='${oc.env:API_TOKEN}'",
        "~out='${oc.env:API_TOKEN}'",
        "+out='${oc.env:API_TOKEN}'",
    ],
)
def test_escapes_and_functions_of_the_command_line_hide_nothing(job: type[Component], word: str) -> None:
    for words in ([word], ["-m", "seed=1,2", word]):
        told = refused(job, *words)
        assert "refused" in told or "cannot be read" in told or "unknown" in told


@pytest.mark.parametrize(
    "text",
    [
        "defaults:\n  - override /tool: ${oc.env:API_TOKEN}\n",
        "defaults:\n  - override /tool: ${${x}:API_TOKEN}\n",
        "defaults:\n  - /${oc.env:API_TOKEN}\n",
        "defaults:\n  - '${oc.env:API_TOKEN}': saw\n",
        "defaults:\n  - optional /tool: '${oc.env:API_TOKEN}'\n",
        "hydra:\n  job:\n    env_copy: [API_TOKEN]\nout: ${hydra.job.env_set.API_TOKEN}\n",
        "hydra:\n  job:\n    env_copy: [NOT_THERE]\n",
        "hydra:\n  searchpath: [file:///]\n",
        "hydra:\n  run:\n    dir: /tmp/x\n",
        "hydra: null\n",
        "hydra: 3\n",
        "hydra:\n  sweeper: x\n",
        "hydra:\n  sweeper:\n    params: [1]\n    _target_: os.system\n",
        "defaults:\n  - override /hydra/launcher: basic\n",
        "defaults:\n  - /tool@hydra.job: saw\n",
        "defaults:\n  - /tool@_global_.hydra: saw\n",
    ],
)
def test_defaults_and_hydra_reach_nothing_outside(job: type[Component], experiment: Write, text: str) -> None:
    for flags in ([], ["-m"]):
        assert "refused" in refused(job, *flags, *experiment(text)) or text.startswith("hydra:\n  sweeper: x")


@pytest.mark.parametrize(
    "package", ["hydra", "hydra.job", "_global_.hydra.job", "a b", "${oc.env:API_TOKEN}", "", "x" * 300]
)
def test_a_package_header_reaches_nothing_outside(job: type[Component], tmp_path: Path, package: str) -> None:
    (tmp_path / "experiment").mkdir()
    path = tmp_path / "experiment" / "trial.yaml"
    path.write_text(f"# @package {package}\nenv_copy: [API_TOKEN]\n", encoding="utf-8")
    assert str(path) in refused(job, "--config-dir", str(tmp_path), "experiment=trial")


def test_resolvers_are_there_again_afterwards(job: type[Component], experiment: Write) -> None:
    OmegaConf.register_new_resolver("energy_test", lambda: "kept", replace=True)
    before = {name for name in ("oc.env", "oc.select", "energy_test") if OmegaConf.has_resolver(name)}
    composed(job, "seed=1")
    refused(job, *experiment("out: ${energy_test:}\n"))
    assert {name for name in before if OmegaConf.has_resolver(name)} == before == {"oc.env", "oc.select", "energy_test"}
    OmegaConf.clear_resolver("energy_test")


def test_interpolations_of_fields_keep_their_meaning() -> None:
    """As OmegaConf resolves them."""
    values = {
        "seed": 4,
        "name": "x",
        "tool": {"name": "saw", "same": "${.name}", "up": "${..seed}", "inner": {"deep": "${...name}/${..name}"}},
        "list": [1, "${seed}", "${.0}", ["${..0}"]],
        "at": "${list[0]}-${list.1}-${tool.inner.deep}",
        "whole": "${tool.inner}",
        "through": "${whole.deep}",
        "truth": True,
        "text": "${truth} ${ seed }",
        "dollar": "$5 $x {y}",
    }
    assert resolved(values) == OmegaConf.to_container(OmegaConf.create(values), resolve=True)


@pytest.mark.parametrize(
    "values",
    [
        {"a": "${a}"},
        {"a": "${b}", "b": "x${a}"},
        {"a": {"b": "${a}"}},
        {"a": "${..b}"},
        {"a": "${b.c}", "b": 3},
        {"a": "${b[7]}", "b": [1]},
        {"a": "${b[-1]}", "b": [1]},
        {"a": "x${b}", "b": {"c": 1}},
        {"a": "???"},
        {"a": "${b}", "b": "???"},
        {"a": "${b}{seed}", "b": "$", "seed": 1},
        {"a": "${b}", "b": "${oc.env:API_TOKEN}"},
        {f"a{at}": f"${{a{at + 1}}}" for at in range(500)} | {"a500": 1},
    ],
)
def test_interpolations_that_cannot_be_followed(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolved(values)
    assert SECRET not in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize("bottom", ["", "x", "x" * 100])
@pytest.mark.parametrize("shape", ["{0}{0}", "{0}"])
def test_interpolations_grow_to_a_limit(job: type[Component], experiment: Write, bottom: str, shape: str) -> None:
    """Thirty levels of two references each would be 2^30 copies; lists of references likewise."""
    texts = {"a0": bottom or "''"} | {f"a{at}": shape.format(f"${{a{at - 1}}}") for at in range(1, 31)}
    if shape == "{0}":
        texts = {"a0": [bottom, 1]} | {f"a{at}": [f"${{a{at - 1}}}"] * 2 for at in range(1, 31)}
    begun = time.process_time()
    with pytest.raises(ConfigurationError, match=f"more than ({LONGEST}|{MOST}|{LETTERS}|16 other)"):
        resolved(texts)
    assert time.process_time() - begun < 5
    refused(job, *experiment("".join(f"{name}: {text}\n" for name, text in texts.items())))


def laughs(line: str, count: int = 30) -> str:
    return "a0: &a0 [x, x]\n" + "".join(line.format(at, at - 1) for at in range(1, count + 1))


HOSTILE = {
    "laughs": (laughs("a{0}: &a{0} [*a{1}, *a{1}]\n").encode(), f"at most {VALUES}"),
    "merged": (
        ("a0: &a0 {x: 1}\n" + laughs("a{0}: &a{0} {{<<: [*a{1}, *a{1}], k{0}: 1}}\n").partition("\n")[2]).encode(),
        f"at most {VALUES}",
    ),
    "deep-aliases": (laughs("a{0}: &a{0} [[[*a{1}]]]\n").encode(), f"at most {DEEPEST}"),
    "long-aliases": (("a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 100 + "]\n").encode(), "letters"),
    "itself": (b"a: &a [*a]\n", "stands for nothing"),
    "nested": (b"[" * 100_000, f"at most {DEEPEST}"),
    "nested-lists": (b"- " * 100_000 + b"x", f"at most {DEEPEST}"),
    "nested-keys": (b"{a: " * 60_000, f"at most {DEEPEST}"),
    "complex-keys": (b"? " * 100_000, f"at most {DEEPEST}"),
    "many": (b"a: [" + b"1, " * 80_000 + b"]", f"at most {VALUES}"),
    "large": (b"#" * (LARGEST + 1), f"at most {LARGEST}"),
    "not-utf-8": (b"a: \xff\n", "not UTF-8"),
    "utf-16": ("a: 1\n".encode("utf-16"), "not UTF-8"),
    "zero": (b"a: \0\n", "is no YAML"),
    "escape": (b"a: \x1b[2J\n", "is no YAML"),
    "digits": (b"seed: " + b"9" * 5000, "at most 64 letters"),
    "hexadecimal": (b"seed: 0x" + b"f" * 5000, "at most 64 letters"),
    "binary": (b"seed: 0b" + b"1" * 5000, "at most 64 letters"),
    "sixties": (b"seed: 1" + b":10" * 3000, "at most 64 letters"),
    "no-number": (b"seed: 0x_\n", "is no number"),
    "float": (b"seed: 1." + b"9" * 5000, "at most 64 letters"),
    "date": (b"seed: 2001-99-99\n", "seed='2001-99-99': must be a whole number"),
    "tag": (b"a: !!python/object/apply:os.system [ls]\n", "tags are refused"),
    "path": (b"a: !!python/object/apply:pathlib.Path [x]\n", "tags are refused"),
    "set": (b"a: !!set {b}\n", "tags are refused"),
    "own-tag": (b"a: !x y\n", "tags are refused"),
    "int-tag": (b"a: !!int x\n", "tags are refused"),
    "key": (b"? [1]\n: 2\n", "a key must be"),
    "twice": (b"seed: 1\nseed: 2\n", "stands there twice"),
    "two": (b"seed: 1\n---\nseed: 2\n", "is no YAML"),
    "list": (b"- 1\n", "must hold fields"),
    "text": (b"seed\n", "must hold fields"),
    "number": (b"3\n", "must hold fields"),
    "open": (b"a: [1\n", "is no YAML"),
    "tab": (b"a:\n\tb: 1\n", "is no YAML"),
    "no-key": (b": 1\n", ""),
    "null-key": (b"~: 1\n", ""),
    "header": (b"# @package a b\nseed: 1\n", "must be `# @package NAME`"),
    "header-alone": (b"# @package\nseed: 1\n", "must be `# @package NAME`"),
    "header-other": (b"# @x y\nseed: 1\n", "must be `# @package NAME`"),
    "defaults-number": (b"defaults: 3\n", ""),
    "defaults-map": (b"defaults: {a: b}\n", ""),
    "defaults-numbers": (b"defaults: [3]\n", ""),
    "defaults-none": (b"defaults: [null]\n", ""),
    "defaults-many-keys": (b"defaults: [{a: b, c: d}]\n", ""),
    "defaults-nested": (b"defaults: [{a: [[b]]}]\n", ""),
    "defaults-list": (b"defaults: [[a]]\n", ""),
    "defaults-itself": (b"defaults: [trial]\n", ""),
    "defaults-self-twice": (b"defaults: [_self_, _self_]\n", ""),
    "defaults-absolute": (b"defaults: [/etc/passwd]\n", ""),
    "defaults-absolute-2": (b"defaults: [//etc/passwd]\n", ""),
    "defaults-above": (b"defaults: [../../../../etc/passwd]\n", ""),
    "defaults-above-2": (b"defaults: [/a/../../x]\n", ""),
    "defaults-url": (b"defaults: ['file:///etc/passwd']\n", ""),
    "defaults-package": (b"defaults: ['a@b@c']\n", ""),
    "defaults-zero": (b'defaults: ["a\\0b"]\n', ""),
    "defaults-missing": (b"defaults: ['???']\n", ""),
    "defaults-long": (b"defaults: [" + b"x" * 5000 + b"]\n", ""),
    "params-list": (b"hydra: {sweeper: {params: [1]}}\n", ""),
    "params-deep": (b"hydra: {sweeper: {params: {seed: {a: 1}}}}\n", ""),
    "params-range": (b"hydra: {sweeper: {params: {seed: 'range(0,1000000000)'}}}\n", "at most 1000"),
    "params-word": (b"hydra: {sweeper: {params: {'seed=1 x': 3}}}\n", ""),
    "params-hydra": (b"hydra: {sweeper: {params: {hydra.run.dir: x}}}\n", "Hydra's own settings"),
    "params-env": (b"hydra: {sweeper: {params: {out: '${oc.env:API_TOKEN}'}}}\n", "refused"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_one_line(job: type[Component], tmp_path: Path, name: str) -> None:
    blob, said = HOSTILE[name]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "trial.yaml").write_bytes(
        blob if blob.startswith(b"# @") or b"header" in blob else b"# @package _global_\n" + blob
    )
    told = refused(job, "-m", "--config-dir", str(tmp_path), "experiment=trial")
    assert said in told


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling"])
def test_what_is_no_file_is_no_preset(job: type[Component], tmp_path: Path, kind: str) -> None:
    (tmp_path / "experiment").mkdir()
    path = tmp_path / "experiment" / "trial.yaml"
    {"pipe": os.mkfifo, "folder": os.mkdir, "dangling": lambda one: os.symlink("/nowhere", one)}[kind](path)
    refused(job, "--config-dir", str(tmp_path), "experiment=trial")


def test_a_file_outside_the_folders_is_not_read(job: type[Component], tmp_path: Path) -> None:
    inside = tmp_path / "mine" / "experiment"
    inside.mkdir(parents=True)
    (tmp_path / "outside.yaml").write_text("out: read\n", encoding="utf-8")
    for name in (
        "../../outside",
        "/../outside",
        str(tmp_path / "outside"),
        f"/{tmp_path}/outside",
        "../../outside.yaml",
    ):
        (inside / "trial.yaml").write_text(f"# @package _global_\ndefaults: ['{name}@_global_']\n", encoding="utf-8")
        refused(job, "--config-dir", str(tmp_path / "mine"), "experiment=trial")


def test_files_that_name_each_other_twice_come_to_an_end(job: type[Component], tmp_path: Path) -> None:
    """Thirty files, each of which has the next one twice, would be 2^30 files."""
    folder = tmp_path / "experiment"
    folder.mkdir()
    for at in range(30):
        text = f"# @package _global_\ndefaults: [f{at + 1}, f{at + 1}]\n"
        (folder / f"f{at}.yaml").write_text(text, encoding="utf-8")
    (folder / "f30.yaml").write_text("# @package _global_\nseed: 1\n", encoding="utf-8")
    assert f"more than {FILES} files" in refused(job, "--config-dir", str(tmp_path), "experiment=f0")
    assert composed(job, "--config-dir", str(tmp_path), "experiment=f27")[0]["seed"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["seed=range(0,1000000000)"], "has 1000000000 values; must have at most 1000"),
        (["seed=range(0,10,0)"], "is no range"),
        (["seed=range(0,10,0.0)"], "is no range"),
        (["seed=range(1e30,1e31)"], "has more than 1000 values"),
        (["seed=range(0,inf)"], "range"),
        (["seed=range(0,1,1e-300)"], "has more than 1000 values"),
        (["seed=shuffle(range(0,1000000000))"], "has 1000000000 values"),
        (["seed=sort(range(0,1000000000),reverse=true)"], "has 1000000000 values"),
        (["seed=tag(a,range(0,1000000000))"], "has 1000000000 values"),
        (["seed=range(5,5)"], "has no value"),
        (["seed=range(0,100)", "part.length=range(0,100)", "out=a,b"], "has 20000 runs; must have at most 1000"),
        ([f"{field}=range(0,{10**3})" for field in ("seed", "part.length", "tool.teeth")], "has 1000000000 runs"),
        (["seed=" + ",".join(map(str, range(1001)))], "has 1001 values"),
    ],
)
def test_sweeps_have_a_limit(job: type[Component], words: list[str], said: str) -> None:
    assert said in refused(job, "-m", *words)
    refused(job, *words)


def test_one_value_too_many() -> None:
    assert len(swept_values(parsed("seed=range(0,1000)"))) == 1000
    with pytest.raises(ConfigurationError, match="has 1001 values; must have at most 1000"):
        swept_values(parsed("seed=range(0,1001)"))


@pytest.mark.parametrize(
    "word",
    [
        "seed=" + "9" * 5000,
        "seed=" + "-" * 9000,
        "widths=" + "[" * 3000,
        "widths=" + "[" * 3000 + "]" * 3000,
        "widths=" + "{a:" * 100 + "1" + "}" * 100,
        "widths=" + "int(" * 100 + "1" + ")" * 100,
        "out=" + "x" * 100_000,
        "a" + ".a" * 4000 + "=1",
        "k@a b=c",
        "k@=c",
        "@=c",
        "=c",
        "~",
        "~=",
        "seed=\udcff",
        "seed=\x00",
        "seed=\x1b[2J\n\n",
        "seed@a:b=1",
        "tool=[saw,hammer]",
        "tool.name=[1]",
        "tool.name={a:1}",
        "tool.name=null",
        "~tool",
        "~tool.weight",
        "~nothing",
        "tool/x=1",
        "/tool=saw",
        "seed=${seed}",
        "out=${tool}x",
        "seed=int('x')",
        "seed=int(" + "'" + "9" * 5000 + "'" + ")",
        "seed=float(1e400)",
        "seed=f()",
        "seed=1e999",
        "???=1",
        "seed=???",
        "hydra=1",
        "+hydra.x=1",
        "~hydra",
    ],
)
def test_a_hostile_word_is_one_short_line(job: type[Component], word: str) -> None:
    assert len(refused(job, word)) < 1000


def test_a_part_from_a_file_is_plain_too(job: type[Component], tmp_path: Path) -> None:
    path = tmp_path / "saw.yaml"
    for name, (blob, _) in HOSTILE.items():
        if name in ("laughs", "nested", "not-utf-8", "digits", "tag", "text"):
            path.write_bytes(blob)
            assert str(path) in refused(job, "tool=saw", f"tool.file='{path}'")
    path.write_text("teeth: ${oc.env:API_TOKEN}\n", encoding="utf-8")
    refused(job, "tool=saw", f"tool.file='{path}'")
    path.write_text("teeth: 7\n", encoding="utf-8")
    assert composed(job, "tool=saw", f"tool.file='{path}'")[0]["tool"] == {"name": "saw", "teeth": 7}


def test_random_text_is_read_or_refused() -> None:
    random_ = random.Random(0)
    pieces = [
        "a",
        "b: ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ": ",
        "&x ",
        "*x",
        "\n",
        "\n  ",
        "'",
        '"',
        "|",
        ">",
        "!",
        "%",
        "@",
    ]
    pieces += ["<<: ", "? ", "#", "---", "...", "1", "0x", "1e", ".", "~", "\\", "\t", "=", "é", "\x85"]
    for _ in range(1500):
        text = "".join(random_.choice(pieces) for _ in range(random_.randrange(1, 30)))
        try:
            yaml_values(text.encode(), "x.yaml")
        except ConfigurationError as error:
            assert str(error).startswith("x.yaml: ") and len(str(error)) < 500
