"""`train.keep_epochs`: the weights after chosen epochs stay, and are those that the run had then."""

from collections.abc import Callable

import pytest
import torch

from energy.component import ConfigurationError
from energy.errors import MissingFileError
from energy.io.record import EPOCHS
from energy.train.evaluate import load_epoch, load_run
from energy.train.fit import fit
from energy.train.run import Run, identity

Maker = Callable[..., Run]


def test_the_last_epoch_kept_has_the_final_weights_and_an_earlier_one_others(make_run: Maker) -> None:
    run = make_run(train={"epochs": 3, "keep_epochs": [1, 3]})
    fit(run)
    final, last, first = (
        found[1].state_dict() for found in (load_run(run.folder), load_epoch(run.folder, 3), load_epoch(run.folder, 1))
    )
    assert all(torch.equal(last[name], final[name]) for name in final)
    assert not all(torch.equal(first[name], final[name]) for name in final)


def test_an_epoch_kept_is_that_of_a_run_that_ended_there(make_run: Maker) -> None:
    """With a constant rate the first two epochs of three are a run of two."""
    constant = {"name": "constant"}
    longer = make_run("longer", schedule=constant, train={"epochs": 3, "keep_epochs": [2]})
    shorter = make_run("shorter", schedule=constant, train={"epochs": 2})
    fit(longer)
    fit(shorter)
    kept, final = load_epoch(longer.folder, 2)[1].state_dict(), load_run(shorter.folder)[1].state_dict()
    assert all(torch.equal(kept[name], final[name]) for name in final)


def test_keeping_is_no_part_of_a_run(make_run: Maker) -> None:
    assert identity(make_run(train={"keep_epochs": [1]})) == identity(make_run())
    run = make_run()
    fit(run)
    assert not (run.folder / EPOCHS).exists()


def test_an_epoch_that_was_not_kept_is_named_with_those_that_were(make_run: Maker) -> None:
    run = make_run(train={"keep_epochs": [1]})
    fit(run)
    with pytest.raises(MissingFileError, match="epoch 2; kept are those after 1"):
        load_epoch(run.folder, 2)


@pytest.mark.parametrize("epochs", [[0], [3], [1, 9]])
def test_epochs_that_are_not_trained_are_refused(make_run: Maker, epochs: list[int]) -> None:
    with pytest.raises(ConfigurationError, match="keep_epochs"):
        make_run(train={"epochs": 2, "keep_epochs": epochs})
