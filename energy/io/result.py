"""The result of a run: sealed with a digest of its content, and tied to its run and to its final weights.

    run_key    the key of the run in its folder, as `configuration.json` has it
    final      {"step": n, "sha256": digest of the manifest of `final/step-<n>`}, on which all of its bytes depend
    files      digests of the records beside it, as far as there are any
    sha256     digest of everything else, as JSON with sorted names

`configuration.json` has a digest of its own, in which the plug-ins of the identity do not count: these may be taken out
by hand. The digests tell a mix-up and damage, not forgery. Folders of before have none; there the types alone are
checked.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from energy.errors import DamagedCheckpointError, DamagedFileError, MissingFileError
from energy.io import checkpoint
from energy.io.plain_file import read_plain, require_kind
from energy.io.record import CONFIGURATION, FINAL, LARGEST, READOUT, RECORD, RESULT, SNAPSHOT, read_json, write_json
from energy.io.schema import Kind, require_fields
from energy.io.scores import ACCURACY, COLUMNS, main_score

DIGEST: Final = "sha256"
OWNER: Final = "run_key"
NEEDED: Final = ("test_accuracy", "key", "seed")
CONFIGURED: Final[dict[str, Kind]] = {"run": dict, "identity": dict, "key": str, "sealed": bool, DIGEST: str}
SEALED: Final = (RECORD, READOUT, SNAPSHOT)  # the records whose digests a result holds
ENDED: Final[dict[str, Kind]] = {
    **dict.fromkeys(("title", "key", "configuration_key", "weights", "device_name", "torch", "commit"), str),
    **dict.fromkeys(("seed", "test_examples", "epochs", "steps", "threads", "parameters"), int),
    **dict.fromkeys(("test_accuracy", "test_top5_accuracy", "test_mirrored_accuracy", "multiply_adds"), float),
    **dict.fromkeys(("test_objective", "validation_accuracy", "backprop_steps", "weight_product_norm"), float | None),
    **dict.fromkeys(("readout_validation_accuracy", "readout_validation_top5_accuracy", *COLUMNS), float | None),
    **dict.fromkeys(("outcomes", "control", "configuration", "evaluation"), dict),
    "sweeps": dict[str, float | None],
    "seconds": dict[str, float],
    "plugins": dict[str, str],
    "continued": list,
    OWNER: str,
    "final": {"step": int, DIGEST: str},
    "files": dict[str, str],
    DIGEST: str,
}


def read_configuration(folder: Path) -> dict[str, Any]:
    """Read the configuration of a run folder; empty if it has none.

    Raises:
        DamagedFileError: naming the file and its defect.
    """
    path = folder / CONFIGURATION
    found = read_json(path, CONFIGURED) if require_kind(path) else {}
    if DIGEST in found and found[DIGEST] != _configuration_digest(found):
        raise DamagedFileError(f"{path}: was changed after it was written ({DIGEST} differs)")
    return found


def write_configuration(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the configuration of a run folder, with its digest."""
    plain = {**facts, "sealed": True}
    write_json(folder / CONFIGURATION, {**plain, DIGEST: _configuration_digest(json.loads(json.dumps(plain)))})


def is_finished(folder: Path) -> bool:
    """Return whether a run folder holds a result, which is not read."""
    return require_kind(folder / RESULT)


def write_result(folder: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    """Seal a result, write it, and return what is written.

    Raises:
        DamagedFileError: when the folder does not hold its final weights.
    """
    path = _only(folder)
    final = {"step": int(path.name.removeprefix("step-")), DIGEST: checkpoint.seal(path)}
    files = {name: _file_digest(folder / name) for name in SEALED if require_kind(folder / name)}
    plain = {**result, OWNER: read_configuration(folder).get("key", ""), "final": final, "files": files}
    plain = json.loads(json.dumps(plain, allow_nan=False))
    sealed = {**plain, DIGEST: content_digest(plain)}
    write_json(folder / RESULT, sealed)
    return sealed


def read_result(folder: Path, needed: Iterable[str] = NEEDED) -> dict[str, Any]:
    """Read the result of a finished run folder: its fields, its digest, its run, and the final weights beside it.

    Args:
        folder: the run folder.
        needed: fields that must be there; in place of the test accuracy the score of other targets will do.

    Raises:
        MissingFileError: when the run is not finished.
        DamagedFileError: when it differs from what was written, is of another run, or the final weights are others.
    """
    path = folder / RESULT
    result = read_json(path, ENDED)
    for name in needed:
        if (main_score(result).test if name == ACCURACY.test else name) not in result:
            raise DamagedFileError(f"{path}: has no {name}")
    for name, value in result.items():
        if name.endswith("_accuracy") and value is not None and not 0 <= value <= 100:
            raise DamagedFileError(f"{path}: {name}={value}: must be a percentage, from 0 to 100")
    configured = read_configuration(folder)
    if DIGEST not in result and not configured.get("sealed"):
        return result
    if result.get(DIGEST) != content_digest(result):
        raise DamagedFileError(f"{path}: was changed after it was written ({DIGEST} differs)")
    require_fields(result, {name: ENDED[name] for name in (OWNER, "final")}, str(path))
    if configured and result[OWNER] != configured.get("key"):
        raise DamagedFileError(f"{path}: is of the run {result[OWNER]}, the folder of {configured.get('key')}")
    if checkpoint.steps(folder / FINAL):
        _require_final(_only(folder), result)
    for name, digest in result.get("files", {}).items():
        if name in SEALED and require_kind(folder / name) and _file_digest(folder / name) != digest:
            raise DamagedFileError(f"{folder / name}: was changed after the run had ended ({DIGEST} differs)")
    return result


def final_weights(folder: Path) -> Path:
    """Return the checkpoint with the final weights of a run folder.

    Raises:
        MissingFileError: when the run left none.
        DamagedFileError: when there are several.
    """
    if not checkpoint.steps(folder / FINAL):
        raise MissingFileError(f"{folder}: has no final weights; the run is not finished")
    return _only(folder)


def require_owner(folder: Path, path: Path) -> None:
    """Compare the weights in a run folder with its run and, if it is finished, with its result.

    Args:
        folder: the run folder.
        path: a checkpoint in it, final or of an epoch; older ones carry no key.

    Raises:
        DamagedFileError: for weights of another run, and for a result or final weights that are not what was written.
    """
    if is_finished(folder):
        read_result(folder, ())
    key, found = read_configuration(folder).get("key"), checkpoint.read_facts(path).get("key")
    if key and found and found != key:
        raise DamagedCheckpointError(f"{path}: is of the run {found}, the folder of {key}; take it out of there")


def content_digest(result: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a result without its digest."""
    plain = {name: value for name, value in result.items() if name != DIGEST}
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _file_digest(path: Path) -> str:
    return hashlib.sha256(read_plain(path, LARGEST)).hexdigest()


def _configuration_digest(configured: Mapping[str, Any]) -> str:
    """The digest of a configuration, without the plug-ins of its identity."""
    identity = {name: value for name, value in configured.get("identity", {}).items() if name != "plugins"}
    return content_digest({**configured, "identity": identity})


def _only(folder: Path) -> Path:
    found = checkpoint.steps(folder / FINAL)
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        raise DamagedFileError(f"{folder / FINAL}: must hold the weights of one step, holds {names or 'none'}")
    return found[0]


def _require_final(path: Path, result: Mapping[str, Any]) -> None:
    final = result["final"]
    if path.name != f"step-{final['step']:06d}" or checkpoint.seal(path) != final[DIGEST]:
        raise DamagedCheckpointError(f"{path}: is not what {RESULT} was computed from (step {final['step']})")
