"""The notebooks of the gallery: their blocks run in order, and what they print and draw put where it belongs.

A notebook is a page of plain Markdown, so that a forge shows it, a change of it can be read, and the tests of all
other pages run it too. A site shows it with its figures, and offers it as .ipynb. `python -m docs.site.notebooks PAGE
FOLDER` runs one page in a process of its own and leaves `outputs.json` and the figures in the folder.
"""

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.docs.matching import mismatch
from tests.docs.pages import ROOT, Block, blocks

CAPTION: Final = re.compile(r"<!--\s*figure:\s*(.*?)\s*-->")
OUTPUTS: Final = "outputs.json"


def executed(page: Path, cache: Path) -> Path:
    """The folder with what a page printed and drew; it runs only if it, or the library, has changed since.

    Args:
        page: the page.
        cache: the folder of all such folders.

    Raises:
        RuntimeError: for a page that fails, or prints something else than it shows.
    """
    sources = [page, Path(__file__), *sorted((ROOT / "energy").rglob("*.py")), *sorted((ROOT / "models").rglob("*.py"))]
    digest = hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()[:12]
    folder = cache / f"{page.stem}-{digest}"
    if not (folder / OUTPUTS).is_file():
        place = folder / "place"
        place.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        given = {"PYTHONPATH": path, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "COLUMNS": "110"}
        words = [sys.executable, "-W", "error", "-m", "docs.site.notebooks", str(page), str(folder)]
        done = subprocess.run(words, cwd=place, env=os.environ | given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{page}: {done.stderr[-2000:]}")
    return folder


def run(page: Path) -> Iterator[dict[str, Any]]:
    """Run the Python blocks of a page one after the other; of each, what it printed and its figures as PNG."""
    module = types.ModuleType(f"page_{page.stem}")
    sys.modules[module.__name__] = module
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.kind != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * block.line + block.text, str(page), "exec"), module.__dict__)
        difference = "" if block.shown is None else mismatch(block.shown, printed.getvalue())
        if difference:
            raise RuntimeError(f"line {block.line}: {difference}")
        yield {"printed": printed.getvalue(), "figures": list(_figures())}


def _figures() -> Iterator[bytes]:
    """The open figures, which are closed."""
    if "matplotlib.pyplot" not in sys.modules:
        return
    import matplotlib.pyplot as plt

    for number in plt.get_fignums():
        picture = io.BytesIO()
        plt.figure(number).savefig(picture, format="png", dpi=150, bbox_inches="tight")
        yield picture.getvalue()
    plt.close("all")


def pieces(text: str) -> Iterator[tuple[str, Block | None]]:
    """A page in its order: prose, and blocks of Python; text that a block printed is left out."""
    lines, start, shown = text.splitlines(), 0, False
    for block in blocks(text):
        first = block.line - 1
        last = first + len(block.text.splitlines()) + 2
        if block.kind == "python":
            yield "\n".join(lines[start:first]).strip(), None
            yield block.text, block
            start, shown = last, block.shown is not None
        elif block.kind == "text" and shown:
            start, shown = last, False
    yield "\n".join(lines[start:]).strip(), None


def shown_page(text: str, outputs: list[dict[str, Any]], name: str) -> str:
    """The page of the site: fresh text, figures and a link to the notebook.

    Args:
        text: the page.
        outputs: of its blocks.
        name: of the notebook's file, beside the page, without its ending.
    """
    found, caption, given = list[str](), "", iter(outputs)
    for part, block in pieces(text):
        if block is None:
            captions = CAPTION.findall(part)
            caption = captions[-1] if captions else ""
            found.append(CAPTION.sub("", part).strip())
            continue
        output = next(given)
        found.append(f"```python\n{part}\n```")
        if output["printed"].strip():
            found.append(f"```text\n{output['printed'].rstrip()}\n```")
        for figure in output["figures"]:
            found.append(f"```{{figure}} {figure}\n:alt: {caption}\n\n{caption}\n```")
    title, _, rest = "\n\n".join(found).partition("\n")
    download = f"[Download as a notebook]({name}.ipynb): a cell for each block, with what it printed and drew."
    return f"{title}\n\n{download}\n{rest}\n"


def notebook(text: str, outputs: list[dict[str, Any]], folder: Path) -> str:
    """The page as .ipynb, with its outputs.

    Args:
        text: the page.
        outputs: of its blocks.
        folder: where its figures are.
    """
    from nbformat import v4, writes

    cells, given = [], iter(outputs)
    for number, (part, block) in enumerate(pieces(text)):
        one = v4.new_markdown_cell(CAPTION.sub("", part).strip()) if block is None else v4.new_code_cell(part)
        one["id"] = f"cell-{number}"  # the same for the same page
        if block is not None:
            output = next(given)
            if output["printed"]:
                one["outputs"].append(v4.new_output("stream", name="stdout", text=output["printed"]))
            for figure in output["figures"]:
                picture = base64.b64encode((folder / figure).read_bytes()).decode()
                one["outputs"].append(v4.new_output("display_data", {"image/png": picture}))
        if one["source"]:
            cells.append(one)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return writes(v4.new_notebook(cells=cells, metadata=kernel)) + "\n"


def main(page: Path, folder: Path) -> None:
    """Run a page, and write what came of it."""
    outputs = []
    for number, output in enumerate(run(page), start=1):
        names = [f"{page.stem}-{number}-{k}.png" for k in range(len(output["figures"]))]
        for name, picture in zip(names, output["figures"], strict=True):
            (folder / name).write_bytes(picture)
        outputs.append({"printed": output["printed"], "figures": names})
    (folder / OUTPUTS).write_text(json.dumps(outputs), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
