"""The site of the documentation: every page in its navigation, every link whole, docstrings and records as they are."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from docs.site.layout import placed, relinked, target
from docs.site.markup import converted
from docs.site.notebooks import notebook, pieces, shown_page
from docs.site.reference import public_names, reference_pages
from docs.site.stage import Texts, below, composed, generated, navigated, write
from tests.docs.pages import ROOT, anchors, links

SITE = list(navigated())


def test_every_page_is_in_the_navigation_once() -> None:
    assert len(SITE) == len(set(SITE))
    written = {*ROOT.glob("docs/**/*.md"), *ROOT.glob("paper_repro/**/README.md"), *ROOT.glob("*.md")}
    assert written <= set(SITE)
    assert all(page.is_file() for page in SITE)


@pytest.mark.parametrize("page", SITE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in links(text):
        found = target(page, link)
        if found is None:
            assert "://" in link or link.startswith("mailto:") or link[1:] in anchors(text), f"{page}: {link}"
            continue
        path, anchor = found
        assert path.is_file(), f"{page}: {link} leads nowhere"
        assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), f"{page}: {link}"


def test_a_link_is_what_it_is_in_the_site() -> None:
    page, seen = ROOT / "docs" / "gallery" / "x.md", []
    text = "[a](../concepts.md#the-dyad) [b](../../energy/relax/dyad.py) [c](../../paper_repro/softhebb) [d](#here) [e](https://x.y)"
    assert relinked(text, page, seen.append) == (
        "[a](../concepts.md#the-dyad) [b](../repository/energy/relax/dyad.py.md) "
        "[c](../repository/paper_repro/softhebb/README.md) [d](#here) [e](https://x.y)"
    )
    assert [path.name for path in seen] == ["concepts.md", "dyad.py", "README.md"]
    code = "`[a](../concepts.md)`\n\n```text\n[b](../x.md)\n```\n"
    assert relinked(code, page) == code
    assert relinked("![x](docs/demo.png) [y](docs/api.md)", ROOT / "README.md") == "![x](../demo.png) [y](../api.md)"
    assert str(placed(ROOT / "README.md")) == "repository/README.md"


def test_links_of_the_composed_sources_lead_to_sources() -> None:
    sources = composed(generated(), {})  # notebooks without what they print
    for name, text in sources.items():
        if not isinstance(text, str) or name.suffix != ".md" or text.startswith("---\n"):
            continue
        for link in links(text):
            path = link.partition("#")[0]
            if path and "://" not in link and not link.startswith("mailto:"):
                place = os.path.normpath(name.parent / path)
                assert place in {str(one) for one in sources}, f"{name}: {link}"


def test_a_public_name_is_in_the_reference_once() -> None:
    import energy
    from energy import settle

    names, text = public_names(), "\n".join(reference_pages().values())
    assert len({id(one) for one in names.values()}) == len(names) > 400
    directives = re.findall(r"^\.\. auto(?:class|exception|function|data):: (\S+)$", text, re.MULTILINE)
    assert sorted(directives) == sorted(names)
    known = {id(one) for one in names.values()}
    assert all(id(getattr(module, name)) in known for module in (energy, settle) for name in module.__all__)


def test_a_new_public_name_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    from energy import settle

    def fresh() -> None:
        """Nothing."""

    fresh.__module__ = "energy.settle.backprop"
    monkeypatch.setattr(settle, "fresh", fresh, raising=False)
    monkeypatch.setattr(settle, "__all__", [*settle.__all__, "fresh"])
    assert ".. autofunction:: energy.settle.fresh" in reference_pages()["energy.settle.rst"]


@pytest.mark.parametrize(
    ("docstring", "rest"),
    [
        ("Return `x`, of *B* samples.", "Return ``x``, of \\*B\\* samples."),
        ("|s_k| and W_ of `a_`s", "\\|s_k\\| and W\\_ of ``a_``\\ s"),
        ("Equation:\n\n    a * b_\n    c\n\nThen `d`.", "Equation:\n\n::\n\n    a * b_\n    c\n\nThen ``d``."),
        ("One.\n\nArgs:\n    x: of `y`,\n        and *z*.", "One.\n\nArgs:\n    x: of ``y``,\n        and \\*z\\*."),
        ("Example:\n    >>> f(`a`) * 2\n    4", "Example:\n    >>> f(`a`) * 2\n    4"),
        ("Of `a\nb`.", "Of ``a\nb``."),
    ],
)
def test_docstrings_become_what_autodoc_reads(docstring: str, rest: str) -> None:
    assert "\n".join(converted(docstring.split("\n"))) == rest


PAGE = """\
# Title

Before.

<!-- figure: A line. -->
```python
print(1)
```

```text
1
```

```python
x = 2
```

After.
"""
OUTPUTS = [{"printed": "1\n", "figures": ["a.png"]}, {"printed": "", "figures": []}]


def test_a_notebook_is_taken_apart_and_put_together(tmp_path: Path) -> None:
    from_text = [(part, block is not None) for part, block in pieces(PAGE)]
    assert [part for part, code in from_text if code] == ["print(1)", "x = 2"]
    shown = shown_page(PAGE, OUTPUTS, "page")
    assert shown.startswith("# Title\n\n[Download as a notebook](page.ipynb)")
    assert shown.count("```text\n1\n```") == 1 and "```{figure} a.png\n:alt: A line.\n\nA line.\n```" in shown
    assert shown.index("```text") < shown.index("{figure}") < shown.index("x = 2") < shown.index("After.")
    pytest.importorskip("nbformat")
    (tmp_path / "a.png").write_bytes(b"picture")
    cells = json.loads(notebook(PAGE, OUTPUTS, tmp_path))["cells"]
    assert [cell["cell_type"] for cell in cells] == ["markdown", "code", "code", "markdown"]
    assert cells[1]["outputs"][0]["text"] == ["1\n"] and cells[1]["outputs"][1]["data"]["image/png"] == "cGljdHVyZQ=="


def test_tables_are_made_from_their_records() -> None:
    made = generated()
    for page, text in made.items():
        assert page.read_text(encoding="utf-8") == text, f"{page} differs from its records"
    assert ROOT / "README.md" in made and ROOT / "paper_repro" / "softhebb" / "table.md" in made


def test_sources_that_stay_are_not_written_again(tmp_path: Path) -> None:
    sources: Texts = {PurePosixPath("a.md"): "one", PurePosixPath("b/c.md"): "two"}
    write(sources, tmp_path)
    before = (tmp_path / "a.md").stat().st_mtime_ns
    del sources[PurePosixPath("b/c.md")]
    write(sources, tmp_path)
    assert (tmp_path / "a.md").stat().st_mtime_ns == before and not (tmp_path / "b" / "c.md").exists()


def test_every_notebook_is_below_the_gallery() -> None:
    assert len(below(ROOT / "docs" / "gallery" / "README.md")) >= 6


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    for name in ("sphinx", "myst_parser", "furo", "nbformat"):
        pytest.importorskip(name, reason="pip install -e '.[docs]'")
    pages, site = tmp_path / "pages", tmp_path / "site"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    stage = [sys.executable, "-m", "docs.site.stage", str(pages), "build/notebooks"]
    build = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-c", "docs/site", str(pages), str(site)]
    for words in (stage, build):
        done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
    sweep = (site / "reference" / "energy.relax.html").read_text(encoding="utf-8")
    assert 'id="energy.Sweep"' in sweep
    shown = re.sub(r"<[^>]*>", "", sweep.partition("<article")[2].partition("</article")[0])
    assert "`" not in shown and "Symmetric Gauss–Seidel" in shown
    assert (site / "gallery" / "gamma.html").is_file() and list(site.glob("_downloads/*/gamma.ipynb"))
    assert '"reference/energy.relax"' in (site / "searchindex.js").read_text(encoding="utf-8")
