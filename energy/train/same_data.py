"""The data of a run as its records keep them, and the check that they are still the same.

A set that a user can change (`DataSet.fingerprint`), such as a folder of images, is kept as `data`: the digest of its
examples, and the names of its classes in the order of the outputs.
"""

from collections.abc import Mapping
from typing import Any, Final

from energy.cautions import caution
from energy.component import ConfigurationError
from energy.data.dataset import DataSet
from energy.errors import DataError, shown

SHORT: Final = 12  # letters of a digest in a message


def data_facts(data: DataSet) -> dict[str, Any]:
    """Return `{"data": {"digest", "names"}}`; empty for a set that has no fingerprint."""
    digest = data.fingerprint()
    return {"data": {"digest": digest, "names": list(data.names)}} if digest else {}


def require_same_data(facts: Mapping[str, Any], now: Mapping[str, Any], where: object, *, exactly: bool) -> None:
    """Compare the data of now with those that a record was written with.

    Args:
        facts: of the record; older ones have none.
        now: `data_facts` of now.
        where: the record, which messages begin with.
        exactly: whether other examples of the same classes are an error too; else they are a caution.

    Raises:
        DataError: for other classes, and for other examples.
        ConfigurationError: when the facts of the record are no such facts.
    """
    before, after = facts.get("data"), now.get("data")
    if before is None or after is None:
        return
    if not isinstance(before, Mapping) or not isinstance(before.get("names"), list):
        raise ConfigurationError(f"{where}: data={shown(before)}: must be a digest and the names of classes")
    if before["names"] != after["names"]:
        raise DataError(f"{where}: its classes are {shown(before['names'])}; those of the data are {after['names']}")
    if before.get("digest") != after["digest"]:
        told = f"digest {shown(before.get('digest'))[:SHORT]} then, {after['digest'][:SHORT]} now"
        said = f"{where}: the data have changed since it was written ({told})"
        if exactly:
            raise DataError(f"{said}; put them back, or train in another folder: out=FOLDER")
        caution(said)
