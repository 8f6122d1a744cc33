"""When a form is measured, what is remembered of it, and that nothing changes elsewhere."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from energy.couplings import Convolution, Dense, forms
from energy.couplings.forms import Choice, Form, choice, measure, store
from energy.couplings.forms.store import cache_file
from energy.kernels import fused
from energy.pooling import MaxPool


@pytest.fixture(autouse=True)
def anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A process that has chosen nothing, and a cache of its own."""
    forms.forget_forms()
    monkeypatch.setattr(store, "cache_file", lambda: tmp_path / "energy" / "kernels.json")
    monkeypatch.setattr(choice, "LEAST", 1)
    yield tmp_path / "energy" / "kernels.json"
    forms.forget_forms()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The candidates of every measurement, which the last of them wins."""
    seen: list[list[str]] = []

    def last(runs: dict[str, Callable[[], object]]) -> str:
        seen.append(list(runs))
        return list(runs)[-1]

    monkeypatch.setattr(choice, "fastest", last)
    return seen


def twice() -> Choice:
    """2x in two forms."""
    both = {"library": Form(lambda x, memo: 2 * x), "sum": Form(lambda x, memo: x + x, lambda x: x.ndim == 1)}
    return Choice("twice", both, lambda x: x.numel())


def test_a_choice_is_made_once_for_each_kind_of_call(measured: list[list[str]]) -> None:
    double, x = twice(), torch.ones(4)
    with fused():
        for given in (x, 2 * x, torch.ones(5), x.double(), torch.ones(8)[::2], x):
            torch.testing.assert_close(double(given), 2 * given)
        assert measured == [["library", "sum"]] * 4  # another size, another dtype, other strides
        assert double.form(x) == "sum"
        assert double.form(torch.ones(2, 2)) == "library"  # the only one that admits it: nothing to measure
    assert len(measured) == 4
    assert forms.chosen_forms() == {
        f"twice {tensor}, {torch.get_num_threads()} threads": "sum"
        for tensor in ("float32(4,)", "float32(5,)", "float64(4,)", "float32(4,) by (2,)")
    }


def test_nothing_is_chosen_elsewhere(measured: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    double, x = twice(), torch.ones(4)
    assert double.form(x) == "library"
    with fused(False):
        assert double.form(x) == "library"
    with fused():
        torch.use_deterministic_algorithms(True)
        try:
            assert double.form(x) == "library"
        finally:
            torch.use_deterministic_algorithms(False)
        assert double.form(x.clone().requires_grad_()) == "library"  # not every form can be walked back
        assert double.form(x.to("meta")) == "library"
        monkeypatch.setattr(choice, "LEAST", 5)
        assert double.form(x) == "library"
    assert not measured and not forms.chosen_forms()
    with torch.no_grad(), fused():
        assert double.form(torch.ones(5, requires_grad=True)) == "sum"


def test_tracing_takes_what_is_known_and_measures_nothing(measured: list[list[str]]) -> None:
    double, x = twice(), torch.ones(4)

    def traced() -> str:
        nodes = make_fx(double)(x).graph.nodes
        return " ".join(str(node.target) for node in nodes if node.op == "call_function")

    with fused():
        assert "mul" in traced() and not measured and not forms.chosen_forms()
        double(x)
        assert "add" in traced() and len(measured) == 1


def test_maps_inside_of_one_on_trial_are_not_measured(
    measured: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are once the outer one has been chosen and runs."""
    inner, x = twice(), torch.ones(4)
    both = {"library": Form(lambda x, memo: 4 * x), "inner": Form(lambda x, memo: inner(inner(x)))}
    outer, tried = Choice("four times", both, lambda x: x.numel()), list[str]()

    def trying(runs: dict[str, Callable[[], object]]) -> str:
        for name, run in runs.items():
            tried.append(name)
            run()
        return list(runs)[-1]

    monkeypatch.setattr(choice, "fastest", trying)
    with fused():
        assert outer.form(x) == "inner" and tried == ["library", "inner"]
        assert torch.equal(outer(x), 4 * x) and tried == ["library", "inner"] * 1 + ["library", "sum"]


def test_a_process_takes_over_what_another_measured(measured: list[list[str]], anew: Path) -> None:
    double, x = twice(), torch.ones(4)
    with fused():
        double(x)
        known = forms.chosen_forms()
        assert json.loads(anew.read_text()) == {store.environment(): known}
        forms.forget_forms()
        assert double.form(x) == "sum" and len(measured) == 1
        assert forms.chosen_forms() == known


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', None, "environment"])
def test_a_damaged_file_is_measured_again(text: str | None, measured: list[list[str]], anew: Path) -> None:
    content = json.dumps({store.environment(): ["sum"]}) if text == "environment" else text
    anew.parent.mkdir()
    if content is None:
        anew.write_bytes(b"\xff\xfe\x00")
    else:
        anew.write_text(content)
    with fused():
        assert twice().form(torch.ones(4)) == "sum"
    assert len(measured) == 1
    assert store.read_choices(anew) == forms.chosen_forms()


def test_a_form_that_is_gone_is_measured_again(measured: list[list[str]]) -> None:
    name = f"twice float32(4,), {torch.get_num_threads()} threads"
    forms.load_forms({name: "by hand"})
    with fused():
        assert twice().form(torch.ones(4)) == "sum"
    assert len(measured) == 1 and forms.chosen_forms() == {name: "sum"}


def test_a_folder_that_cannot_be_written_is_no_error(
    measured: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(store, "cache_file", lambda: tmp_path / "file" / "kernels.json")
    with fused():
        assert twice().form(torch.ones(4)) == "sum"
    monkeypatch.setattr(store, "cache_file", lambda: None)
    with fused():
        assert twice().form(torch.ones(5)) == "sum"


def test_other_machines_keep_theirs(tmp_path: Path) -> None:
    path = tmp_path / "kernels.json"
    path.write_text(json.dumps({"another": {"a": "library"}}))
    store.write_choices(path, {"b": "patches"})
    store.write_choices(path, {"c": "taps"})
    whole = json.loads(path.read_text())
    assert whole == {"another": {"a": "library"}, store.environment(): {"b": "patches", "c": "taps"}}
    assert store.read_choices(path) == {"b": "patches", "c": "taps"}


def test_the_cache_is_where_caches_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_file() == tmp_path / "energy" / "kernels.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, as its specification has it
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_file() == tmp_path / "home" / ".cache" / "energy" / "kernels.json"


def test_what_is_loaded_counts(measured: list[list[str]]) -> None:
    double, x = twice(), torch.ones(4)
    with fused():
        double(x)
        forms.load_forms(dict.fromkeys(forms.chosen_forms(), "library"))
        assert double.form(x) == "library"
    assert len(measured) == 1


def clock(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> dict[str, Callable[[], object]]:
    """Runs that take so many seconds of a clock that nothing else moves, and how often each ran."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])

    def run(took: float) -> Callable[[], object]:
        def work() -> None:
            if took < 0:
                raise RuntimeError("not on this machine")
            now[0] += took

        return work

    return {name: run(took) for name, took in seconds.items()}


def test_the_fastest_wins_and_the_first_wins_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measure.fastest(clock(monkeypatch, library=1.0, one=0.9, other=0.8)) == "other"
    assert measure.fastest(clock(monkeypatch, library=1.0, one=0.96)) == "library"
    assert measure.fastest(clock(monkeypatch, library=1.0, one=0.94)) == "one"
    assert measure.fastest(clock(monkeypatch, library=9.0, one=1.0)) == "one"
    assert measure.fastest(clock(monkeypatch, library=1.0, one=-1.0)) == "library"
    assert measure.fastest(clock(monkeypatch, library=-1.0, one=1.0)) == "library"  # whose error the caller then sees


def test_a_measurement_leaves_no_trace() -> None:
    """Neither in the generator nor in memory, and its results are those of the plain call."""
    coupling, x = Convolution(16, 16, 3, padding=1), torch.randn(8, 16, 2, 2)
    before, held = torch.get_rng_state(), _tensors()
    with fused():
        drive, linear = coupling.linearize(x)
        found = linear.adjoint(drive), *linear.weight_gradient(x, drive)
    assert torch.equal(torch.get_rng_state(), before)
    assert coupling.weight.grad is None
    plain, exact = coupling.linearize(x)
    wanted = exact.adjoint(plain), *exact.weight_gradient(x, plain)
    torch.testing.assert_close((drive, *found), (plain, *wanted), rtol=1e-4, atol=1e-4)
    del drive, linear, found, plain, exact, wanted
    assert _tensors() == held


def _tensors() -> int:

    gc.collect()
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_outside_of_fused_every_digit_is_the_librarys(dtype: torch.dtype, measured: list[list[str]]) -> None:
    """Whatever has been chosen before."""
    conv, dense = Convolution(8, 16, 3, padding=1, pool=MaxPool(2)), Dense(8, 5)
    for coupling, pre in ((conv, torch.randn(4, 8, 4, 4).to(dtype)), (dense, torch.randn(4, 8).to(dtype))):
        coupling = coupling.to(torch.float64 if dtype == torch.float64 else torch.float32)
        with fused():
            chosen = _maps(coupling, pre)
        assert measured
        for one, other in zip(_maps(coupling, pre), _by_torch(coupling, pre), strict=True):
            assert torch.equal(one, other)
        assert len(chosen) == 4


def _maps(coupling: Any, pre: Tensor) -> list[Tensor]:
    drive, linear = coupling.linearize(pre)
    return [drive, linear.adjoint(drive), *linear.weight_gradient(pre, drive)]


def _by_torch(coupling: Any, pre: Tensor) -> list[Tensor]:
    """The same by the operators that torch's own layers and their backward call."""
    weight, bias = (p.detach().to(pre.dtype) for p in (coupling.weight, coupling.bias))
    if isinstance(coupling, Dense) and coupling.bias is not None:
        drive = nn.functional.linear(pre, weight, bias)
        gradients = [drive.T @ pre, drive.sum(0, dtype=coupling.bias.dtype)]
        return [drive, drive @ weight, gradients[0].to(coupling.weight.dtype), gradients[1]]
    full = nn.functional.conv2d(pre, weight, bias, padding=1)
    drive, switches = nn.functional.max_pool2d(full, 2, return_indices=True)
    up = nn.functional.max_unpool2d(drive, switches, (2, 2))
    rest = (up, pre, weight, [16], [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    below = torch.ops.aten.convolution_backward(*rest, [True, False, False])[0]
    _, product, summed = torch.ops.aten.convolution_backward(*rest, [False, True, True])
    return [drive, below, product.to(coupling.weight.dtype), summed.to(coupling.weight.dtype)]
