"""docs/how-it-runs.md names functions that exist, in the order in which a step of dual propagation enters them."""

import ast
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch

import energy as eq
from tests.docs.pages import ROOT

PAGE: Final = ROOT / "docs" / "how-it-runs.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")
NAMED: Final = re.compile(r"\[`([\w.]+)`\]\((\.\./energy/[\w/]+\.py)\)")
ROW: Final = re.compile(r"^\| (\d+) \| \[`([\w.]+)`\]\((\.\./energy/[\w/]+\.py)\)", re.MULTILINE)
Function = tuple[Path, str]

BATCH: Final = 7
SIZES: Final = (17, 13, 11)
CLASSES: Final = 3


def _function(name: str, link: str) -> Function:
    return (PAGE.parent / link).resolve(), name


STEPS: Final = [_function(name, link) for _, name, link in ROW.findall(TEXT)]


@contextmanager
def _entered(look: Any) -> Iterator[None]:
    """Call `look` with the frame of every function of the library as it is entered, functions it calls left out."""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT / "energy")):
            sys.setprofile(None)
            look(frame)
            sys.setprofile(profile)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


def _learn() -> None:
    network = eq.MLP(sizes=list(SIZES)).build((1, 4, 4), CLASSES, seed=0)
    x = torch.randn(BATCH, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    target = eq.one_hot(torch.arange(BATCH) % CLASSES, CLASSES)
    eq.Contrast().learn(network, eq.DualPropagation(), x, target, eq.CrossEntropy())


def _defined(file: Path) -> set[str]:
    """The functions and methods of a file, as Python qualifies them."""
    found = set[str]()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return found


def test_every_function_named_exists_in_the_file_it_links_to() -> None:
    named = [_function(name, link) for name, link in NAMED.findall(TEXT)]
    assert len(named) > len(STEPS)
    for file, name in named:
        assert name in _defined(file), f"{PAGE.name}: {name} is not in {file}"


def test_the_walk_is_short_and_numbered() -> None:
    assert [int(number) for number, *_ in ROW.findall(TEXT)] == list(range(1, len(STEPS) + 1))
    assert 8 <= len(STEPS) <= 12
    assert len({file for file, _ in STEPS}) <= 6


def test_a_step_enters_the_functions_in_the_order_of_the_page() -> None:
    first: list[Function] = []

    def look(frame: FrameType) -> None:
        here = Path(frame.f_code.co_filename), frame.f_code.co_qualname
        if here in STEPS and here not in first:
            first.append(here)

    with _entered(look):
        _learn()
    assert first == STEPS


def test_memory_is_what_the_page_says_as_each_layer_is_updated() -> None:
    """Of hidden layers: a_1 … a_k and h_k with the dyad of layer k + 1, and never the means of the free phase."""
    found: dict[int, list[int]] = {}

    def look(frame: FrameType) -> None:
        if frame.f_code.co_qualname == "Dyad.update":
            found[frame.f_locals["layer"]] = _hidden_in_memory()

    with _entered(look):
        _learn()
    output = len(SIZES) + 1
    assert set(found) == set(range(1, output + 1))
    for layer, alive in found.items():
        drives = list(SIZES[:layer])
        h = [SIZES[layer - 1]] if layer < output else []
        above = 2 * [SIZES[layer]] if layer + 1 < output else []
        assert alive == sorted(drives + h + above), f"as layer {layer} is updated"


def test_memory_is_what_the_page_says_as_each_product_is_made() -> None:
    """Of hidden layers: the drives below the edge, and the dyads at both of its ends."""
    found: dict[int, list[int]] = {}

    def look(frame: FrameType) -> None:
        if frame.f_code.co_qualname == "edge_gradient":
            found[frame.f_locals["edge"].target] = _hidden_in_memory()

    with _entered(look):
        _learn()
    for target, alive in found.items():
        below = max(target - 1, 1)  # the product of the first layer follows that of the second, before it is freed
        dyads = [*SIZES[below - 1 : below], *SIZES[below : below + 1]]
        assert alive == sorted([*SIZES[: below - 1], *dyads, *dyads]), f"as the weights into layer {target} learn"


def _hidden_in_memory() -> list[int]:
    """The widths of the tensors of one row per sample that belong to hidden layers; a view counts with its base."""
    tensors = [one for one in gc.get_objects() if type(one) is torch.Tensor and one.ndim == 2 and len(one) == BATCH]
    own = [one for one in tensors if one.shape[1] in SIZES and one.untyped_storage().nbytes() > one.element_size() * 2]
    return sorted({one.untyped_storage().data_ptr(): one.shape[1] for one in own}.values())
