"""Small components of the tests' own, so that the command line is tested apart from the library."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hydra.core.config_store import ConfigStore

from energy.cli import main
from energy.component import Component, require


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """What a test registers is gone after it, from our table and, as far as it is ours, from Hydra's store."""
    before = set(Component.registry)
    yield
    for key, cls in list(Component.registry.items()):
        if key not in before and not cls.__module__.startswith(("energy.", "models.")):
            del Component.registry[key]
    for name in ("job.yaml", "tool"):
        ConfigStore.instance().repo.pop(name, None)


class Shape(Component):
    """Base of the shapes."""

    group: ClassVar[str] = "cli_shape"


class Tool(Component):
    """Base of the tools."""

    group: ClassVar[str] = "tool"


class Part(Component):
    """A part without alternatives."""

    group: ClassVar[str] = "part"
    length: int = 3


class Job(Component):
    """The whole configuration."""

    group: ClassVar[str] = "job"
    tool: Tool
    part: Part = field(default_factory=Part)
    seed: int = 0
    widths: list[int] = field(default_factory=list)
    out: str = ""


@pytest.fixture
def job() -> type[Job]:
    """A configuration class whose ``tool`` is a hammer (with a shape as head) or a saw."""

    class Disc(Shape, name="disc"):
        """A disc."""

        radius: float = 1.0

        def __post_init__(self) -> None:
            require(self.radius > 0, self, "radius", "positive")

    class Box(Shape, name="box"):
        """A box."""

        side: float = 2.0

    class Hammer(Tool, name="hammer"):
        """A hammer."""

        weight: float = 1.0
        head: Shape = field(default_factory=Box)

    class Saw(Tool, name="saw"):
        """A saw."""

        teeth: int = 10

    defaults = [{"tool": "hammer"}, "_self_", {"experiment": None}]
    ConfigStore.instance().store(name="job", node={"defaults": defaults})
    return Job


@dataclass(frozen=True)
class Answer:
    """What one command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def energy(capsys: pytest.CaptureFixture[str]) -> Callable[[Sequence[str]], Answer]:
    """Run one command in this process."""

    def run(words: Sequence[str]) -> Answer:
        capsys.readouterr()
        status = main(list(words))
        said = capsys.readouterr()
        return Answer(status, said.out, said.err)

    return run


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[[str], list[str]]:
    """Write an experiment file of the user's own; return the words that select it."""

    def write(text: str) -> list[str]:
        folder = tmp_path / "mine" / "experiment"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trial.yaml").write_text(f"# @package _global_\n{text}", encoding="utf-8")
        return ["--config-dir", str(tmp_path / "mine"), "experiment=trial"]

    return write
