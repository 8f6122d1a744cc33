"""The norm of the product of all weights in a run's record, its result and a paper's results."""

from collections.abc import Callable

import pytest
import torch

from energy.io.record import RECORD, read_lines
from energy.study.results import result_row
from energy.train.evaluate import load_run
from energy.train.fit import fit
from energy.train.run import Run


def test_the_probe_measures_it(make_run: Callable[..., Run]) -> None:
    run = make_run(model={"sizes": [12, 10]}, train={"epochs": 3, "probe_every": 2, "weights": "last"})
    result = fit(run)
    first, left_out, last = (line["weight_product_norm"] for line in read_lines(run.folder / RECORD))
    assert first > 0 and left_out is None
    weights = [next(edge.coupling.parameters()).detach() for edge in load_run(run.folder)[1].edges]
    expected = float(torch.linalg.matrix_norm(torch.linalg.multi_dot(weights[::-1]), 2))
    assert result["weight_product_norm"] == last == pytest.approx(expected, rel=1e-5)
    assert result_row(result)["weight_product_norm"] == f"{last:.5g}"
    assert result_row({**result, "weight_product_norm": None})["weight_product_norm"] == ""
