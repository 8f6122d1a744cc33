"""What a user writes becomes what Hydra composes; the expectations are read off Hydra's override grammar."""

import pytest

from energy.command.overrides import expand, parse_override, rewrite, takes_component
from energy.component import Component, ConfigurationError

GROUPS = {"tool": ["hammer", "saw"], "experiment": ["a", "paper/b"]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed=3", "++seed=3"),
        ("+seed=3", "++seed=3"),
        ("++seed=3", "++seed=3"),
        ("tool=saw", "tool=saw"),
        ("tool=saw,hammer", "tool=saw,hammer"),
        ("tool=glob(*)", "tool=glob(*)"),
        ("tool={name: saw}", "++tool={name: saw}"),
        ("experiment=paper/b", "experiment=paper/b"),
        ("tool.weight=2", "++tool.weight=2"),
        ("tool.head=disc", "++tool.head.name=disc"),
        ("tool.head='disc'", "++tool.head.name='disc'"),
        ("tool.head=disc,box", "++tool.head.name=disc,box"),
        ("tool.head={name: disc}", "++tool.head={name: disc}"),
        ("tool.head.radius=2", "++tool.head.radius=2"),
        ("part.length=2", "++part.length=2"),
        ("widths=[1,2]", "++widths=[1,2]"),
        ("out=a/b=c", None),
        ("out='a/b=c'", "++out='a/b=c'"),
        ("~tool", "~tool"),
    ],
)
def test_rewriting(job: type[Component], text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ConfigurationError, match="put quotes around"):
            rewrite(text, job, GROUPS)
    else:
        assert rewrite(text, job, GROUPS).input_line == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tool", True),
        ("tool.head", True),
        ("part", False),
        ("part.length", False),
        ("tool.head.radius", False),
        ("tool.teeth", False),
        ("nothing.at.all", False),
    ],
)
def test_which_paths_take_a_component(job: type[Component], path: str, expected: bool) -> None:
    assert takes_component(job, path.split(".")) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tool=hamer", "tool=hamer: unknown; did you mean 'hammer'? known: hammer, saw"),
        ("tool=saw,hamer", "tool=hamer: unknown; did you mean 'hammer'? known: hammer, saw"),
        ("tool=3", "tool=3: unknown"),
        ("experiment=c", "experiment=c: unknown"),
        ("hydra.run.dir=/tmp", "hydra.run.dir: Hydra's own settings cannot be changed"),
        ("hydra/launcher=basic", "hydra/launcher: Hydra's own settings cannot be changed"),
        ("+hydra.callbacks.x._target_=os.getcwd", "hydra.callbacks.x._target_: Hydra's own settings"),
        ("train", "train: must have the form name=value"),
        ("seed=[1", "seed=[1: cannot be read"),
        ("seed=interval(0,1)", "seed=interval(0,1): must be name=value"),
        ("tool@part=saw", "tool@part=saw: must be name=value"),
    ],
)
def test_mistakes_are_one_line(job: type[Component], text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rewrite(text, job, GROUPS)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_sweep_is_the_product_and_the_first_varies_slowest() -> None:
    overrides = [parse_override(text) for text in ("tool=saw,hammer", "++part.length=7", "++seed=range(0,3)")]
    jobs = expand(overrides, GROUPS, sweep=True)
    assert [job.varied for job in jobs] == [
        (f"tool={tool}", f"seed={seed}") for tool in ("saw", "hammer") for seed in (0, 1, 2)
    ]
    assert jobs[4].overrides == ("tool=hammer", "++part.length=7", "++seed=1")


def test_glob_takes_every_name_that_fits() -> None:
    jobs = expand([parse_override("tool=glob(*,exclude=saw)")], GROUPS, sweep=True)
    assert [job.overrides for job in jobs] == [("tool=hammer",)]


def test_a_nested_component_is_shown_by_the_path_the_user_wrote() -> None:
    jobs = expand([parse_override("++tool.head.name=disc,box")], GROUPS, sweep=True)
    assert [job.varied for job in jobs] == [("tool.head=disc",), ("tool.head=box",)]


def test_several_values_without_a_sweep_are_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"^seed=0,1: has several values; add -m to run them all$"):
        expand([parse_override("++seed=0,1")], GROUPS, sweep=False)


def test_without_anything_to_vary_there_is_one_job() -> None:
    assert len(expand([], GROUPS, sweep=True)) == 1
