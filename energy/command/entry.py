"""A component as help pages show it, taken from its class or from the file that the class is written in."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Entry:
    """A class of components in words.

    Attributes:
        title: the name of the class.
        home: the dotted name of its module and itself.
        group: the group that it is selected in.
        label: the name that it is selected by; empty for a class that is always present, such as the run.
        doc: its own docstring; empty if it has none.
        fields: `name: type = default` of every field, in the order of declaration.
        choices: the valid names of every field that holds a component; none if its class is fixed.
        parts: the entries of the fields whose component class is fixed.
        items: the entry of one item of every field that lists components of a fixed class.
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
        """The first paragraph of the docstring, on one line."""
        return " ".join(self.doc.partition("\n\n")[0].split())
