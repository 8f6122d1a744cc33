"""The error budget of the gradient of a run, on the first images of one of its splits."""

from pathlib import Path
from typing import Any

from energy.analysis.gradient_error import GradientError, gradient_error
from energy.component import ConfigurationError
from energy.data.images import Images
from energy.errors import UsageError
from energy.network import Network
from energy.paths import expanded
from energy.targets import target_of
from energy.train.evaluate import SPLITS, load_run
from energy.train.run import Run


def error_budget(run: Run, split: str = "validation", samples: int = 64) -> tuple[GradientError, dict[str, Any]]:
    """Measure the gradient of a run's settler and rule at its initial weights.

    Args:
        run: the run; nothing of it is trained or written.
        split: train, validation or test.
        samples: the number of images, the first ones of the split, not augmented.

    Returns:
        The error by cause, and the facts of the measurement.

    Raises:
        ValueError: for another split, an empty one, or fewer than one sample.
        ConfigurationError: for a rule that descends no objective, and for a settler of spikes.
    """
    _require(split, samples)
    return _measured(run, run.network(), split, samples, {"step": 0, "weights": "initial"})


def error_budget_of_folder(
    folder: Path, split: str = "validation", samples: int = 64
) -> tuple[GradientError, dict[str, Any]]:
    """Measure the gradient at the final weights of a finished run.

    Args, returns and errors are those of `error_budget`.

    Raises:
        FileNotFoundError: when the run left no final weights.
    """
    _require(split, samples)
    run, network, facts = load_run(expanded(folder))
    return _measured(run, network, split, samples, {"step": facts["step"], "weights": facts["weights"]})


def _measured(
    run: Run, network: Network, split: str, samples: int, facts: dict[str, Any]
) -> tuple[GradientError, dict[str, Any]]:
    if not run.rule.descends:
        raise ConfigurationError(
            f"rule={run.rule.name}: descends no objective that its gradient could be compared with"
        )
    images: Images = getattr(run.data.load(run.place(), run.seed, run.precision.activity), split)
    if not len(images):
        raise UsageError(f"split={split!r}: is empty in this run (data.validation={run.data.validation:g})")
    x, labels = images.take(slice(0, samples))
    target = target_of(labels, network.output.shape[0], images.targets, x.dtype)
    return gradient_error(network, run.settler, run.rule, run.objective, x, target), {
        "split": split,
        "samples": len(x),
        **facts,
    }


def _require(split: str, samples: int) -> None:
    if split not in SPLITS:
        raise UsageError(f"split={split!r}: must be one of {', '.join(SPLITS)}")
    if samples < 1:
        raise UsageError(f"batch={samples}: must be at least 1")
