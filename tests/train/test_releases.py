"""Old checkpoints load: the final weights of one tiny run of each release, scored as they were then.

A folder is made with `fit` on the digits when a version is released, and never changed afterwards.
"""

import json
from pathlib import Path

import pytest

from energy.train.evaluate import evaluate

RELEASES = sorted((Path(__file__).parent / "releases").iterdir())


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_a_run_of_an_earlier_release_scores_as_it_did(folder: Path) -> None:
    expected = json.loads((folder / "expected.json").read_text())
    found = evaluate(folder, device="cpu")
    assert found["accuracy"] == pytest.approx(expected["test_accuracy"], abs=1.2)  # four images of 360
    assert found["objective"] == pytest.approx(expected["test_objective"], rel=1e-3)
