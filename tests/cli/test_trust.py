"""A configuration file cannot make the command line call anything, nor copy the environment into a record."""

from collections.abc import Callable

import pytest

from energy.command.arguments import parse
from energy.command.compose import plan
from energy.component import Component, ConfigurationError

Write = Callable[[str], list[str]]

HOSTILE = {
    "callback": "hydra:\n  callbacks:\n    x:\n      _target_: builtins.print\n",
    "launcher": "hydra:\n  launcher:\n    _target_: builtins.print\n",
    "sweeper": "hydra:\n  sweeper:\n    _target_: builtins.print\n",
    "factory": "hydra:\n  job_logging:\n    handlers:\n      x:\n        (): builtins.print\n",
    "class": "hydra:\n  hydra_logging:\n    handlers:\n      x:\n        class: os.system\n",
    "ours": "tool:\n  _target_: builtins.print\n",
    "top": "_target_: builtins.print\n",
    "nested": "tool:\n  head:\n    - a: {_target_: builtins.print}\n",
    "environment": "out: ${oc.env:HOME}\n",
    "hidden": "out: ${oc.decode:${oc.env:HOME}}\n",
    "inside": "out: runs/${oc.env:HOME,none}/x\n",
    "hydra": "out: ${hydra:runtime.cwd}\n",
    "list": "widths: ['${oc.env:HOME}']\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_refused(job: type[Component], experiment: Write, text: str) -> None:
    with pytest.raises(ConfigurationError, match="refused"):
        plan(job, "job", parse(experiment(text)))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_refused_in_a_sweep_too(job: type[Component], experiment: Write, text: str) -> None:
    with pytest.raises(ConfigurationError, match="refused"):
        plan(job, "job", parse(["-m", "seed=0,1", *experiment(text)]))


def test_a_secret_does_not_reach_the_message(
    job: type[Component], experiment: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENERGY_TEST_TOKEN", "hunter2")
    with pytest.raises(ConfigurationError) as caught:
        plan(job, "job", parse(experiment("out: ${oc.env:ENERGY_TEST_TOKEN}\n")))
    assert "hunter2" not in str(caught.value)


def test_a_file_cannot_name_a_plugin(job: type[Component], experiment: Write) -> None:
    with pytest.raises(ConfigurationError, match=r"^plugins: unknown field"):
        plan(job, "job", parse(experiment("plugins: evil.py\n")))


def test_other_fields_may_be_named(job: type[Component], experiment: Write) -> None:
    (made,) = plan(job, "job", parse(experiment("seed: 4\nout: runs/${seed}\n")))
    assert getattr(made, "out") == "runs/4"  # noqa: B009
