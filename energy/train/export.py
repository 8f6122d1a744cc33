"""Export: the final weights of a run as one file that can be given away, and a card that describes it.

The file alone is enough to score them again: `energy evaluate FILE.safetensors`.
"""

from pathlib import Path
from typing import Any, Final

from energy.component import to_dict
from energy.data.dataset import DataSet
from energy.data.digests import set_digests
from energy.errors import DamagedCheckpointError, DataError, MissingFileError, UsageError
from energy.io import checkpoint
from energy.io.atomic import write_text
from energy.io.code import file_digest
from energy.io.record import FINAL, RESULT
from energy.io.result import final_weights, is_finished, read_result, require_owner
from energy.io.schema import require_fields
from energy.io.scores import COLUMNS
from energy.io.weights import SUFFIX, write_weights
from energy.paths import expanded
from energy.train.card import card_text
from energy.train.evaluate import FACTS
from energy.train.exported import require_fit
from energy.train.folder import rebuilt
from energy.train.registration import register_builtins
from energy.train.run import Run

SCORES: Final = (
    "test_accuracy",
    "test_top5_accuracy",
    "test_mirrored_accuracy",
    "test_objective",
    "test_examples",
    "validation_accuracy",
    *COLUMNS,
    "readout_validation_accuracy",
    "readout_validation_top5_accuracy",
)
NEEDED: Final = ("test_accuracy", "test_examples", "key", "parameters", "plugins")


def export(folder: str | Path, file: str | Path) -> tuple[Path, Path]:
    """Write the final weights of a finished run to `file`, and beside it a card in Markdown.

    The metadata of the file hold the configuration without the folder of the run, the scores that the run ended with,
    where it was computed, and digests of the data as they are here.

    Args:
        folder: the run folder.
        file: a new file whose name ends in `.safetensors`; the card is called alike and ends in `.md`.

    Returns:
        The file and the card.

    Raises:
        UsageError: for a file of another ending, or when it or the card is there already.
        FileNotFoundError: when the run is not finished.
        DamagedFileError: when its weights or its result are not what was written.
        ConfigurationError: when a component it needs is not registered.
    """
    folder = expanded(folder)
    file = expanded(file)
    card = file.with_suffix(".md")
    _new(file, card)
    if not (checkpoint.steps(folder / FINAL) and is_finished(folder)):
        raise MissingFileError(f"{folder}: has no final weights with a {RESULT}; the run is not finished")
    register_builtins()
    result, path = read_result(folder, NEEDED), final_weights(folder)
    tensors, stored = checkpoint.read(path)
    require_fields(stored, FACTS, f"{path}: facts.json", DamagedCheckpointError)
    run = rebuilt(stored["run"], folder)
    require_owner(folder, path)
    weights = {name.removeprefix("weights/"): tensor for name, tensor in tensors.items()}
    require_fit(run, weights, path)
    facts = _facts(run, stored, result)
    write_weights(file, weights, facts)
    write_text(card, card_text(run, facts, file.name, file_digest(file)))
    return file, card


def _new(file: Path, card: Path) -> None:
    if file.suffix != SUFFIX:
        raise UsageError(f"file={str(file)!r}: must end in {SUFFIX}")
    for path in (file, card):
        if path.exists():
            raise UsageError(f"file={str(file)!r}: {path} is there already; remove it, or choose another name")


def _facts(run: Run, stored: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    """The metadata: what was trained, how, where and on what, and how it scored."""
    return {
        "run": {**to_dict(run), "out": ""},  # the folder is nobody else's business
        "plugins": result["plugins"],
        "key": result["key"],
        "weights": stored["weights"],
        "step": stored["step"],
        "parameters": result["parameters"],
        "scores": {name: result[name] for name in SCORES if result.get(name) is not None},
        "data": {"name": run.data.name or type(run.data).__name__, "digests": _digests(run.data)},
        "provenance": stored["provenance"],
    }


def _digests(data: DataSet) -> dict[str, str]:
    """The digests of the data; none where the set is not at hand."""
    try:
        return set_digests(data)
    except DataError:
        return {}
