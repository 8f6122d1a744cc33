"""A run in words of the command line, read again by the command line."""

import shlex
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from energy.command.arguments import parse
from energy.command.catalog import load_all
from energy.command.compose import plan
from energy.component import from_dict
from energy.train.run import Run, identity
from energy.train.words import literal, train_words


def composed(words: list[str]) -> Run:
    (run,) = plan(Run, "run", parse(words))
    return run


@pytest.mark.parametrize(
    "words",
    [
        "",
        "model.sizes=[] seed=7 precision=float64 optimizer.lr=1e-30 train.weights=last",
        "experiment=dual_propagation/mnist_mlp",
        "experiment=softhebb/cifar10_2_greedy",
        "experiment=hopfield_small settler=equilibrium_propagation settler.relax=zebra settler.relax.tolerance=1e-4",
        "settler=two_phase settler.gamma=0.5 settler.relax=anderson",
        "settler=spiking model=spiking optimizer=adam optimizer.lr=0.01",
        "settler=dual_propagation settler.feedback=sign settler.feedback.sign_agreement=0.75 model.hidden=tanh",
        """train.freeze=[conv1] "train.start='a folder/[of] ours, mine'" "train.layer_map=['a=b']" """,
        """"train.freeze=['conv*', \\"it's\\"]" "title=a.b" """,
        "settler=equilibrium_propagation model.hidden=relu objective=cross_entropy settler.keep_contracting=0",
    ],
)
def test_the_words_make_the_same_run(words: str) -> None:
    """Also where the settler would take other settings by itself, and after a shell has had the words."""
    load_all()
    run = composed(shlex.split(words))
    again = composed(shlex.split(shlex.join(train_words(run))))
    assert identity(again) == identity(run)


def test_only_differences_are_written() -> None:
    """A run at its defaults is its components' names; of the components in a list, too, only what differs."""
    load_all()
    run = from_dict(Run, {"model": "mlp", "data": "digits"}, path="")
    words = train_words(run)
    assert {word.partition("=")[0] for word in words} == {
        *("model", "data", "objective", "rule", "optimizer", "schedule", "readout", "settler")
    }
    listed = from_dict(
        Run,
        {
            "model": "mlp",
            "data": "digits",
            "rule": {"name": "per_layer", "rules": [{"name": "softhebb", "rate": 0.5}, {"name": "softhebb"}]},
            "settler": "feedforward",
            "readout": "ridge",
        },
        path="",
    )
    assert "rule.rules=[{name:softhebb,rate:0.5},{name:softhebb}]" in train_words(listed)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "relu",
            "conv*",
            "",
            "a b",
            "true",
            "NULL",
            "inf",
            "7",
            "1e3",
            "-x",
            "a,b",
            "[a]",
            "{a:b}",
            "a=b",
            "ü",
            "~/x",
        ),
        *('say "so"', "it's", "back\\slash", "end\\", 'odd\\"', "#", "a:b", "$x"),
        *(0, -3, 10**20, 0.1, 1e-30, -2.5e300, True, False),
        *([], [1, 2], ["a b", "c"], [[1], [2.5]], [{"name": "oja", "rate": 0.1, "on": True, "text": 'a"b'}]),
    ],
    ids=repr,
)
def test_a_literal_is_read_as_what_it_was(value: Any) -> None:
    """By the parser of the command line."""
    from hydra.core.override_parser.types import QuotedString

    def plain(found: Any) -> Any:
        if isinstance(found, QuotedString):
            return found.text
        if isinstance(found, list):
            return [plain(one) for one in found]
        return {plain(key): plain(one) for key, one in found.items()} if isinstance(found, dict) else found

    found = OverridesParser.create().parse_override(f"x={literal(value)}").value()
    assert plain(found) == value and type(plain(found)) is type(value)
