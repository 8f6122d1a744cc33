"""torch's settings while a run trains: set, and put back as they were."""

import os

import pytest
import torch

from energy.train.settings import settings


def _seen() -> tuple[object, ...]:
    return (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.mark.parametrize("deterministic", [False, True])
def test_what_was_set_before_is_set_afterwards(deterministic: bool) -> None:
    before = _seen()
    with pytest.raises(KeyboardInterrupt), settings(deterministic):
        assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.benchmark is not deterministic
        assert torch.are_deterministic_algorithms_enabled() is deterministic or before[3]
        raise KeyboardInterrupt
    assert _seen() == before


def test_what_interrupts_a_run_is_not_covered_by_an_import_of_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking torch for determinism imports its compiler, which fails where a signal broke that import off."""

    def half_imported(_: bool) -> None:
        raise ImportError("partially initialized module")

    monkeypatch.setattr(torch, "use_deterministic_algorithms", half_imported)
    with pytest.raises(KeyboardInterrupt), settings(deterministic=False):
        raise KeyboardInterrupt
