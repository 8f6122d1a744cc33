"""Citations in BibTeX: of the software, and of the papers whose methods a study has measured."""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

import energy

TITLE: Final = "equilibria: energy-based equilibrium models in PyTorch"
AUTHORS: Final = ("The equilibria authors",)
LICENSE: Final = "Apache-2.0"
SETTLERS: Final[Mapping[str, tuple[str, ...]]] = {
    "dual_propagation": ("hoier2023dual", "hoier2024two"),
    "equilibrium_propagation": ("scellier2017equilibrium", "laborieux2021scaling"),
    "two_phase": ("scellier2017equilibrium", "laborieux2021scaling", "scellier2023comparative"),
    "energy_two_phase": ("scellier2017equilibrium", "laborieux2021scaling"),
    "contrastive_hebbian": ("movellan1991contrastive",),
    "two_phase_contrastive_hebbian": ("movellan1991contrastive", "xie2003equivalence"),
    "coupled_learning": ("stern2021supervised",),
    "implicit": ("almeida1987learning", "pineda1987generalization"),
    "predictive_coding": ("rao1999predictive", "whittington2017approximation"),
    "error_predictive_coding": ("goemaere2025error",),
    "predictive_coding_ep": ("kerjan2026training",),
}
RELAXATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "anderson": ("walker2011anderson", "toth2015convergence"),
    "zebra": ("scellier2023comparative",),
}
GAIN: Final = "xie2003equivalence"  # of a feedback gain between 0 and 1


def bibtex(points: Sequence[Mapping[str, Any]]) -> str:
    """Return the BibTeX of the software and of the papers of the settlers, relaxations and gains among `points`."""
    entries = papers()
    axes = [point["axes"] for point in points]
    keys = {key for one in axes for key in SETTLERS.get(one["kind"], ())}
    keys |= {key for one in axes for key in RELAXATIONS.get(one["relaxation"], ())}
    keys |= {GAIN} if any(0 < one["gamma"] < 1 for one in axes) else set()
    return "\n\n".join([software(), *(entries[key] for key in entries if key in keys)]) + "\n"


def papers() -> dict[str, str]:
    """Return the entries of `papers.bib` by key."""
    text = files("energy.study.page").joinpath("papers.bib").read_text(encoding="utf-8")
    found = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {entry.partition("{")[2].partition(",")[0]: entry for entry in found}


def software() -> str:
    """Return the BibTeX entry of this toolkit."""
    fields = {
        "author": " and ".join(f"{{{author}}}" for author in AUTHORS),
        "title": f"{{{TITLE}}}",
        "version": energy.__version__,
        "note": f"Software, license {LICENSE}",
    }
    inside = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@software{{equilibria,\n{inside}\n}}"
