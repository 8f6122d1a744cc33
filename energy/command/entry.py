"""A component as help pages show it, taken from its class or from the file that the class is written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """What a class of components says of itself.

    Attributes:
        title, home: the name of the class, and the dotted name of its module and itself.
        group, label: what it is selected by; the label is empty for a class that is always there, such as the run.
        doc: its own documentation; empty if it has none.
        fields: `name: type = default` of every field, in the order of declaration.
        choices: of the fields that hold a component, the names that may stand there; none where only fields are set.
        parts: the entries of those for which there is no choice.
        items: of the fields that list components for which there is no choice, the entry of one.
    """

    title: str
    home: str
    group: str
    label: str
    doc: str
    fields: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parts: Mapping[str, "Entry"] = field(default_factory=dict)
    items: Mapping[str, "Entry"] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first paragraph of the documentation on one line."""
        return " ".join(self.doc.partition("\n\n")[0].split())
