"""The list of data sets, with those that are at hand."""

from energy.component import choices, from_dict
from energy.data.dataset import DataSet
from energy.data.image_folder import ImageFolder
from energy.data.published import Published
from energy.data.source import data_root
from energy.errors import DataError
from energy.targets import TargetKind


def describe_sets() -> list[dict[str, str]]:
    """Return one row per set: `name`, `images` (training + test), `shape`, `classes` and `state`, all as text.

    A set that cannot be described, such as a faulty one of a plug-in, has its error for a state.
    """
    return [_row(name) for name in choices(DataSet)]


def _row(name: str) -> dict[str, str]:
    try:
        return _described(name, from_dict(DataSet, name))
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return {"name": name, "images": "", "shape": "", "classes": "", "state": f"unusable; {reason}"}


def _described(name: str, dataset: DataSet) -> dict[str, str]:
    published = isinstance(dataset, Published)
    if isinstance(dataset, ImageFolder) and not dataset.root:
        shape = "x".join(map(str, dataset.image))
        return {"name": name, "images": "", "shape": shape, "classes": "", "state": "your own; data.root=FOLDER"}
    return {
        "name": name,
        "images": " + ".join(map(str, dataset.counts or ())) if published else "",
        "shape": "x".join(map(str, dataset.image)),
        "classes": _classes(dataset),
        "state": _state(dataset) if published else "embedded",
    }


def _classes(dataset: DataSet) -> str:
    """The number of classes or targets, and the first names."""
    if dataset.targets is TargetKind.REAL:
        return f"{dataset.classes} real"
    return f"{dataset.classes}: {', '.join(dataset.names[:5])}{', ...' * (dataset.classes > 5)}"


def _state(dataset: Published) -> str:
    try:
        layout, paths = dataset.locate(data_root())
    except DataError:
        return f"missing; energy data fetch {dataset.name}" if dataset.downloads else "missing; see energy data fetch"
    return f"{layout.title}, in {paths[0].parent}"
