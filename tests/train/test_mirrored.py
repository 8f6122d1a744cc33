"""The test on images and their mirror images, and layers that a model holds fixed."""

from collections.abc import Callable

import pytest
import torch

from energy.io.record import RESULT, read_json
from energy.train.evaluate import evaluate, load_run, score
from energy.train.fit import fit
from energy.train.run import Run

Maker = Callable[..., Run]


def test_it_scores_the_sum_of_both_outputs(make_run: Maker) -> None:
    run = make_run(train={"mirrored": True})
    result = fit(run)
    _, network, _ = load_run(run.folder)
    images = run.data.load("cpu", run.seed).test
    x, labels = images.take(slice(None))
    with torch.no_grad():
        both = network(x) + network(x.flip(-1))
    wanted = 100 * float((both.argmax(1) == labels).double().mean())
    assert (
        result["test_mirrored_accuracy"]
        == evaluate(run.folder)["mirrored_accuracy"]
        == pytest.approx(wanted, rel=1e-14)
    )
    assert read_json(run.folder / RESULT)["test_mirrored_accuracy"] == result["test_mirrored_accuracy"]


def test_images_that_are_their_own_mirror_image_score_the_same(make_run: Maker) -> None:
    import dataclasses

    run = make_run()
    network, images = run.network(), run.data.load("cpu", run.seed).test
    symmetric = images.pixels + images.pixels.flip(-1)
    found = score(run, network, dataclasses.replace(images, pixels=symmetric), mirrored=True)
    assert found["mirrored_accuracy"] == found["accuracy"]


def test_it_is_no_part_of_other_results(make_run: Maker) -> None:
    assert "test_mirrored_accuracy" not in fit(make_run())


NORMALIZED = {"name": "normalized_vgg", "groups": [4, 6], "whitened": 3}


def test_a_whitening_is_made_of_training_images_and_never_learns(make_run: Maker) -> None:
    run = make_run(model=NORMALIZED, optimizer={"weight_decay": 0.1}, train={"average": 0.9})
    fit(run)
    _, network, _ = load_run(run.folder)
    fresh = run.network()
    fresh.start_from(run.data.load("cpu", run.seed).train.take(slice(None))[0])
    assert torch.equal(network.state_dict()["couplings.0.weight"], fresh.state_dict()["couplings.0.weight"])
    assert not torch.equal(
        network.state_dict()["couplings.1.filters.weight"], fresh.state_dict()["couplings.1.filters.weight"]
    )
