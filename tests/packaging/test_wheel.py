"""A built wheel, away from the source tree: what it holds, and that the command line works from an empty folder."""

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in")
pytestmark = pytest.mark.slow


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` as a fresh user would: nothing from the source tree on the path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


def environment(place: Path) -> Path:
    """An environment that has, by a path file, what is installed in this one, but for editable installs."""
    venv.create(place, with_pip=False)
    slot = next(place.glob("lib/python*/site-packages"))
    (slot / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both distributions, the wheel made from the source distribution, built from a copy of what is committed."""
    work = tmp_path_factory.mktemp("build")
    copy = work / "tree"
    copy.mkdir()
    for name in (*TOP, "energy", "models", "configs", "tests", "docs", "paper_repro"):
        assert subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True).returncode == 0
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(work), str(copy)]
    done = run(command, work)
    assert done.returncode == 0, done.stdout + done.stderr
    return work


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    """The wheel."""
    (found,) = built.glob("*.whl")
    return found


def files() -> set[str]:
    """What the package consists of, links to folders followed."""
    found = {
        str(Path(folder, name).relative_to(ROOT))
        for folder, _, names in os.walk(ROOT / "energy", followlinks=True)
        for name in names
        if name.endswith((".py", ".yaml", ".html", ".css", ".bib"))
    }
    return found | {"energy/py.typed"}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment that has the wheel and, by a path file, the dependencies of this one."""
    place = environment(tmp_path_factory.mktemp("installed") / "environment")
    command = ["--no-deps", "--no-index", "--quiet", "--prefix", str(place), "--ignore-installed", str(wheel)]
    done = run([sys.executable, "-m", "pip", "install", *command], place)
    assert done.returncode == 0, done.stderr
    script = place / "bin" / "energy"
    text = script.read_text(encoding="utf-8")
    script.write_text(f"#!{place}/bin/python\n{text.partition(chr(10))[2]}", encoding="utf-8")
    return place / "bin"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith("equilibria-")
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"energy"}
    assert {name for name in names if ".dist-info/" not in name} == files()
    assert {"energy/models/mlp.py", "energy/configs/run.yaml", "energy/configs/experiment/demo.yaml"} <= {*names}
    assert any(name.endswith("/LICENSE") for name in names)


def test_the_source_distribution_holds_ordinary_files_of_the_package(built: Path) -> None:
    (found,) = built.glob("equilibria-*.tar.gz")
    with tarfile.open(found) as archive:
        members = archive.getmembers()
        assert all(member.isfile() or member.isdir() for member in members)
        held = {member.name.partition("/")[2] for member in members if member.isfile()}
        top = found.name.removesuffix(".tar.gz")
        for name in ("energy/models/mlp.py", "energy/configs/run.yaml"):
            text = archive.extractfile(f"{top}/{name}")
            assert text is not None and text.read() == (ROOT / name).read_bytes()
    inside = {name for name in held if not name.startswith("equilibria.egg-info/")}
    assert inside == files() | {*TOP, "PKG-INFO", "setup.cfg"}


def test_an_editable_install_shows_the_package_alone(built: Path, tmp_path: Path) -> None:
    """As `make` installs: `energy` with what its links lead to, and none of the folders beside it."""
    place = environment(tmp_path / "environment")
    command = [
        "--no-deps",
        "--no-index",
        "--quiet",
        "--no-build-isolation",
        "--prefix",
        str(place),
        "--ignore-installed",
    ]
    done = run([sys.executable, "-m", "pip", "install", *command, "-e", str(built / "tree")], tmp_path)
    assert done.returncode == 0, done.stderr
    program = """
import importlib.util
import energy.models.mlp
from energy.train.registration import package_folder
print(energy.__file__, (package_folder("configs") / "run.yaml").is_file())
print([name for name in ("models", "configs", "tests", "docs", "paper_repro") if importlib.util.find_spec(name)])
"""
    answer = run([str(place / "bin" / "python"), "-c", program], tmp_path)
    assert answer.stdout.splitlines() == [f"{built}/tree/energy/__init__.py True", "[]"], answer.stderr


def test_the_command_line_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    script = str(installed / "energy")
    where = run(
        [
            str(installed / "python"),
            "-c",
            "import energy, energy.models; print(energy.__file__, energy.models.__file__)",
        ],
        tmp_path,
    )
    assert str(ROOT) not in where.stdout and str(installed.parent) in where.stdout, where.stdout + where.stderr
    answer = run([script, "--help"], tmp_path)
    assert answer.returncode == 0 and "dual_propagation" in answer.stdout, answer.stderr
    words = ["model.sizes=[8]", "train.epochs=1", "train.probe_every=0", "settler=backprop", "out=first"]
    answer = run([script, "train", *words], tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert json.loads((tmp_path / "first" / "result.json").read_text(encoding="utf-8"))["test_accuracy"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_the_installed_command_line_finds_its_experiments(installed: Path, tmp_path: Path) -> None:
    answer = run([str(installed / "energy"), "compare", "--dry-run", "experiment=demo"], tmp_path)
    assert answer.returncode == 0 and json.loads(answer.stdout)["title"] == "demo", answer.stderr


def test_folders_of_the_user_are_the_users(installed: Path, tmp_path: Path) -> None:
    for name in ("models", "configs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"WHOSE = 'mine: {name}'\n", encoding="utf-8")
    words = ["model.sizes=[8]", "train.epochs=1", "train.probe_every=0", "settler=backprop", "out=first"]
    for command in (["train", *words], ["plot", "first"], ["evaluate", "first"], ["compare", "--dry-run"], ["--help"]):
        for start in ([str(installed / "energy")], [str(installed / "python"), "-m", "energy"]):
            answer = run([*start, *command], tmp_path)
            assert answer.returncode == 0, answer.stderr
    program = (
        "import models, configs, energy.models, energy.configs; print(models.WHOSE, configs.WHOSE, energy.models.MLP)"
    )
    answer = run([str(installed / "python"), "-c", program], tmp_path)
    assert answer.stdout.strip() == "mine: models mine: configs <class 'energy.models.mlp.MLP'>", answer.stderr
