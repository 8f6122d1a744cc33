"""Scripts that change by two lines: losses, optimizers and all that is around them stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from energy.dropin import from_module, wrap
from energy.errors import UsageError, UsageTypeError
from energy.feedback import KolenPollack, Random
from energy.objectives import CrossEntropy, Nudge, Objective, SquaredError, one_hot
from energy.relax.sweep import Sweep
from energy.rules import Contrast
from energy.settle import Backprop, ContrastiveHebbian, DualPropagation, EquilibriumPropagation, Settler
from tests.dropin.modules import MODULES, SHAPE, batch, drawn

NEAR = DualPropagation(beta=1e-7)
TIGHT = Sweep(max_steps=400, tolerance=1e-13)


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


def assert_alike(found: dict[str, Tensor], wanted: dict[str, Tensor], rtol: float = 1e-5, atol: float = 1e-9) -> None:
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=rtol, atol=atol, msg=name)


def mean_squared(output: Tensor, labels: Tensor) -> Tensor:
    return F.mse_loss(output, F.one_hot(labels, 3).to(output.dtype))


CRITERIA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": F.cross_entropy,
    "smoothed": nn.CrossEntropyLoss(label_smoothing=0.2),
    "weighted": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)),
    "squared error": mean_squared,
    "one's own": lambda output, labels: (output.softmax(1)[:, 0] - 0.1 * labels).abs().mean() + output.square().mean(),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("criterion", CRITERIA)
def test_dual_propagation_gives_the_gradient_of_autograd(name: str, criterion: str) -> None:
    module = drawn(name).train()
    plain, (x, labels) = copy.deepcopy(module), batch()
    model = wrap(module, NEAR)
    loss = CRITERIA[criterion](model(x), labels)
    loss.backward()
    wanted = CRITERIA[criterion](plain(x), labels)
    wanted.backward()
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=1e-12)
    assert_alike(gradients(model), gradients(plain))
    assert_alike(dict(model.named_buffers()), dict(plain.named_buffers()), 1e-12, 1e-12)


@pytest.mark.parametrize(
    ("name", "settler"),
    [
        ("vgg", DualPropagation(beta=0.3)),
        ("residual", DualPropagation(beta=0.3)),
        ("vgg", DualPropagation(alpha=1.0, beta=0.2, freeze_mean=True)),
        ("functional", DualPropagation(beta=0.1, feedback=Random())),
        ("residual", EquilibriumPropagation(gamma=0.05, beta=0.1, relax=TIGHT, nudged=TIGHT)),
    ],
    ids=lambda given: given if isinstance(given, str) else given.name,
)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_it_is_the_step_of_the_rule(name: str, settler: Settler, reduction: str) -> None:
    """At a finite β, the objective being linearized at the free output either way."""
    module, (x, labels) = drawn(name).train(), batch()
    network = from_module(copy.deepcopy(module), SHAPE)
    settler.attach_feedback(network)
    pairs: list[tuple[Objective, Callable[..., Tensor]]] = [(CrossEntropy(), F.cross_entropy)]
    pairs += [(SquaredError(nudge=Nudge.FROZEN), lambda s, y, reduction: _half_squares(s, y, reduction))]
    for objective, criterion in pairs:
        model = wrap(module, settler, reduction=reduction)
        model.zero_grad()
        Contrast().learn(network, settler, x, one_hot(labels, 3, x.dtype), objective)
        criterion(model(x), labels, reduction=reduction).backward()
        found = gradients(model)
        wanted = {key: one.grad for key, one in network._module.named_parameters()}
        factor = len(x) if reduction == "sum" else 1
        assert_alike(found, {key: factor * one for key, one in wanted.items() if one is not None}, 1e-9, 1e-11)


def _half_squares(output: Tensor, labels: Tensor, reduction: str) -> Tensor:
    each = (output - F.one_hot(labels, 3)).square().sum(1) / 2
    return each.mean() if reduction == "mean" else each.sum()


def frozen_statistics(name: str) -> nn.Module:
    """A module in training mode whose batch normalizations are not, as where a trained network is tuned."""
    module = drawn(name).train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.eval()
    return module


@pytest.mark.parametrize("name", ["dense", "vgg", "residual", "pre-activation"])
def test_frozen_statistics_stay_frozen(name: str) -> None:
    module, (x, labels) = frozen_statistics(name), batch()
    plain, before = copy.deepcopy(module), {key: one.clone() for key, one in module.named_buffers()}
    model = wrap(module, NEAR)
    loss, wanted = F.cross_entropy(model(x), labels), F.cross_entropy(plain(x), labels)
    torch.testing.assert_close(loss, wanted, rtol=1e-12, atol=1e-12)
    loss.backward()
    wanted.backward()
    assert_alike(gradients(model), gradients(plain))
    assert all(torch.equal(one, before[key]) for key, one in model.named_buffers())


def test_gradients_add_up_until_they_are_cleared() -> None:
    model, (x, labels) = wrap(frozen_statistics("vgg"), NEAR), batch()
    F.cross_entropy(model(x), labels).backward()
    once = gradients(model)
    F.cross_entropy(model(x), labels).backward()
    assert_alike({key: one / 2 for key, one in gradients(model).items()}, once, 1e-12)
    model.zero_grad()
    assert not gradients(model)


def test_a_whole_training_stays_as_it_was() -> None:
    """Momentum, weight decay, clipping, a cosine schedule and an average of the weights: the same to rounding."""
    runs = []
    for settler in (NEAR, None):
        module = drawn("residual").train()
        model = module if settler is None else wrap(module, settler)
        decayed = [one for name, one in model.named_parameters() if name.endswith("weight")]
        others = [one for name, one in model.named_parameters() if not name.endswith("weight")]
        optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": 1e-2}, {"params": others}], 0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
        criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
        for step in range(5):
            x, labels = batch(5 + step)
            optimizer.zero_grad()
            criterion(model(x), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
        model.eval()
        average.eval()
        runs.append((model.state_dict(), average.module.state_dict(), model(batch()[0]), average(batch()[0])))
    for found, wanted in zip(*runs, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-7)


def test_parts_names_and_attributes_are_those_of_the_module() -> None:
    module = drawn("residual")
    module.note = "mine"  # type: ignore[assignment]
    model = wrap(module, NEAR, input_shape=SHAPE)
    assert list(model.state_dict()) == list(module.state_dict()) and model.fc is module.fc and model.note == "mine"
    assert [*model.parameters()] == [*module.parameters()]
    model.train()
    assert all(one.training for one in module.modules())
    model.eval()
    assert not any(one.training for one in module.modules())
    torch.testing.assert_close(model(batch()[0]), module(batch()[0]), rtol=0, atol=0)
    plain = model.to_module()
    assert type(plain) is type(module) and plain is not module
    model.float()
    assert module.get_parameter("fc.weight").dtype == torch.float32
    model.train()
    F.cross_entropy(model(batch()[0].float()), batch()[1]).backward()
    with pytest.raises(AttributeError, match="nowhere"):
        _ = model.nowhere


def test_a_copy_is_one_of_its_own() -> None:
    model, (x, labels) = wrap(drawn("vgg"), NEAR), batch()
    model(x)
    other = copy.deepcopy(model)
    F.cross_entropy(other(x), labels).backward()
    assert gradients(other) and not gradients(model)


def test_frozen_parameters_get_no_gradient() -> None:
    module, (x, labels) = drawn("vgg"), batch()
    module.get_parameter("0.weight").requires_grad_(False)
    model = wrap(module, NEAR)
    F.cross_entropy(model(x), labels).backward()
    plain = drawn("vgg")
    plain.get_parameter("0.weight").requires_grad_(False)
    F.cross_entropy(plain(x), labels).backward()
    assert_alike(gradients(model), gradients(plain))


def test_with_feedback_the_equilibrium_is_the_prediction() -> None:
    settler = EquilibriumPropagation(gamma=0.1, relax=TIGHT, nudged=TIGHT)
    module = drawn("functional")
    model = wrap(module, settler)
    x, labels = batch()
    trained = model(x)
    F.cross_entropy(trained, labels).backward()
    model.eval()
    network = from_module(module, SHAPE)
    torch.testing.assert_close(model(x), settler.predict(network, x).output, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model(x), trained.detach(), rtol=1e-9, atol=1e-9)
    assert (model(x) - module(x)).abs().max() > 1e-6


def test_under_autocast_states_are_bfloat16() -> None:
    module, (x, labels) = drawn("vgg").float(), batch(32)
    plain = copy.deepcopy(module)
    model = wrap(module, DualPropagation(beta=1e-2))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x.float())
        loss = F.cross_entropy(output, labels)
    assert output.dtype == torch.bfloat16
    loss.backward()
    F.cross_entropy(plain(x.float()), labels).backward()
    for name, found in gradients(model).items():
        wanted = gradients(plain)[name]
        assert found.dtype == torch.float32
        if name != "0.bias":  # zero, since the normalization takes the mean away
            assert F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.97, name


def test_without_gradients_the_statistics_move_all_the_same() -> None:
    module, (x, _) = drawn("vgg").train(), batch()
    plain = copy.deepcopy(module)
    with torch.no_grad():
        found, wanted = wrap(module, NEAR)(x), plain(x)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert_alike(dict(module.named_buffers()), dict(plain.named_buffers()), 1e-12, 1e-12)


def test_a_second_backward_is_refused() -> None:
    model, (x, labels) = wrap(drawn("dense"), NEAR), batch()
    loss = F.cross_entropy(model(x), labels)
    loss.backward(retain_graph=True)
    with pytest.raises(UsageError, match=r"backward: .*works once .*without retain_graph"):
        loss.backward()
    loss = F.cross_entropy(model(x), labels)
    with pytest.raises(UsageError, match=r"backward: create_graph=True .*to_module"):
        torch.autograd.grad(loss, [*model.parameters()], create_graph=True)


def test_two_losses_of_one_output_are_one_error() -> None:
    model, plain, (x, labels) = wrap(drawn("vgg"), NEAR), drawn("vgg"), batch()
    for one in (model, plain):
        output = one(x)
        (F.cross_entropy(output, labels) + 0.1 * output.square().mean()).backward()
    assert_alike(gradients(model), gradients(plain))


def test_a_step_between_forward_and_backward_is_noticed() -> None:
    model, (x, labels) = wrap(drawn("dense"), NEAR), batch()
    loss = F.cross_entropy(model(x), labels)
    with torch.no_grad():
        next(iter(model.parameters())).add_(0.1)
    with pytest.raises(UsageError, match=r"a parameter was changed since model\(x\)"):
        loss.backward()


def test_an_input_that_wants_a_gradient_is_refused() -> None:
    model, (x, _) = wrap(drawn("dense"), NEAR), batch()
    with pytest.raises(UsageError, match=r"x: requires a gradient"):
        model(x.requires_grad_())


@pytest.mark.parametrize("settler", [ContrastiveHebbian(), Backprop()], ids=str)
def test_settlers_that_need_targets_are_refused(settler: Settler) -> None:
    with pytest.raises(UsageError, match=rf"settler={settler.name}: must be one that is nudged"):
        wrap(drawn("dense"), settler)


def test_other_arguments_are_refused() -> None:
    module = drawn("dense")
    with pytest.raises(UsageTypeError, match="module is a int"):
        wrap(3, NEAR)  # type: ignore[arg-type]
    with pytest.raises(UsageTypeError, match="settler is a str"):
        wrap(module, "dual_propagation")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="reduction='none': must be mean or sum"):
        wrap(module, NEAR, reduction="none")
    with pytest.raises(UsageError, match="wrapped already"):
        wrap(wrap(module, NEAR), NEAR)
    with pytest.raises(UsageError, match=r"settler\.feedback: has weights that learn"):
        wrap(drawn("functional"), DualPropagation(feedback=KolenPollack()), input_shape=SHAPE)
    with pytest.raises(UsageError, match="GELU is not covered"):
        wrap(nn.Sequential(nn.Linear(4, 4), nn.GELU()), NEAR, input_shape=(4,))


def test_a_hook_that_came_later_is_noticed() -> None:
    model = wrap(drawn("vgg"), NEAR, input_shape=SHAPE)
    model.get_submodule("0").register_forward_hook(lambda *_: None)
    with pytest.raises(UsageError, match=r"0: has a hook"):
        model(batch()[0])
