"""A built wheel, away from the source tree: what it holds, and that the command line works from an empty folder."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder`` as a fresh user would: nothing from the source tree on the path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the tree, so that no build folder is left behind."""
    work = tmp_path_factory.mktemp("build")
    copy = work / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "energy", "models", "configs"):
        assert subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True).returncode == 0
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(copy)]
    built = run(command, work)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = work.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment that has the wheel and, by a path file, the dependencies of this one."""
    place = tmp_path_factory.mktemp("installed") / "environment"
    venv.create(place, with_pip=False)
    site = next(place.glob("lib/python*/site-packages"))
    dependencies = Path(sysconfig.get_path("purelib"))
    (site / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
    command = ["--no-deps", "--no-index", "--quiet", "--prefix", str(place), "--ignore-installed", str(wheel)]
    done = run([sys.executable, "-m", "pip", "install", *command], place)
    assert done.returncode == 0, done.stderr
    script = place / "bin" / "energy"
    text = script.read_text(encoding="utf-8")
    script.write_text(f"#!{place}/bin/python\n{text.partition(chr(10))[2]}", encoding="utf-8")
    return place / "bin"


def test_the_wheel_holds_the_library_its_values_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"energy", "models", "configs"}
    shipped = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    wanted = {
        str(path.relative_to(ROOT))
        for package, ends in (("energy", ".py"), ("models", ".py"), ("configs", ".yaml"))
        for path in (ROOT / package).rglob(f"*{ends}")
    }
    assert shipped == wanted | {"energy/py.typed", "models/py.typed", "configs/__init__.py"}
    assert any(name.endswith("/LICENSE") for name in names)


def test_the_command_line_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    script = str(installed / "energy")
    where = run(
        [str(installed / "python"), "-c", "import energy, models; print(energy.__file__, models.__file__)"], tmp_path
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
