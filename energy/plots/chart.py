"""The description of a figure, free of any library that draws it: what a page and a file of a picture are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from energy.errors import UsageError
from energy.plots.style import APART

Style = Literal["line", "points", "bars", "steps", "heat"]
Dash = Literal["solid", "dashed", "dotted"]
STYLES: Final = ("line", "points", "bars", "steps", "heat")
DASHES: Final = ("solid", "dashed", "dotted")
INK: Final = "#444444"  # the color of what is no settler: laws, fronts, edges
Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Series:
    """Points of one name in a panel.

    Attributes:
        label: its name in the legend; series of one label in one chart are one entry, drawn alike.
        x: abscissas: numbers, or names of categories.
        y: ordinates, as many; None leaves a gap.
        low: lower ends of intervals of y; None for none.
        high: upper ends, with `low`.
        style: `line` (with a marker at each point if it is solid), `points` (markers alone), `bars` (upright), `steps`
            (a staircase whose level holds until the next x), or `heat` (a cell at each (x, y), of one color for the
            series, or colored by `value`).
        value: number of each cell of `heat`; None for cells of one color.
        marks: short texts drawn at the points; empty for none.
        hover: a text for each point that a page shows under the pointer; empty for none.
        group: the choice with which it is shown; empty for always.
        look: the key of color and marker; series of one key are drawn alike. Empty for the label.
        color: as `#rrggbb`, where it has a meaning of its own; empty for that of the key.
        dash: of its line.
        named: whether the legend has it.
    """

    label: str
    x: tuple[float | str, ...]
    y: Numbers
    low: Numbers | None = None
    high: Numbers | None = None
    style: Style = "line"
    value: Numbers | None = None
    marks: tuple[str, ...] = ()
    hover: tuple[str, ...] = ()
    group: str = ""
    look: str = ""
    color: str = ""
    dash: Dash = "solid"
    named: bool = True

    def __post_init__(self) -> None:
        for name in ("style", "dash"):
            known = STYLES if name == "style" else DASHES
            if getattr(self, name) not in known:
                raise UsageError(f"series {self.label!r}.{name}={getattr(self, name)!r}: known are {', '.join(known)}")
        if (self.low is None) != (self.high is None):
            raise UsageError(f"series {self.label!r}: low and high must be given together")
        for name in ("y", "low", "high", "value", "marks", "hover"):
            found = getattr(self, name)
            if found not in (None, ()) and len(found) != len(self.x):
                raise UsageError(f"series {self.label!r}.{name}: has {len(found)} entries for {len(self.x)} of x")

    @property
    def key(self) -> str:
        """The key of color and marker."""
        return self.look or self.label


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: above it.
        x_label: of the horizontal axis.
        y_label: of the vertical axis.
        series: what is drawn.
        x_log: whether the horizontal axis is logarithmic; an axis of categories is not.
        y_log: whether the vertical axis is logarithmic.
        note: a sentence below the panel; empty for none.
        x_labels: the horizontal label with a choice, where it is not `x_label`.
        levels: heights of thin horizontal lines, each with its short text.
        value_label: of the color bar of `heat`; empty where no series has values.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_log: bool = False
    y_log: bool = False
    note: str = ""
    x_labels: Mapping[str, str] = field(default_factory=dict)
    levels: tuple[tuple[float, str], ...] = ()
    value_label: str = ""

    def shown(self, choice: str) -> tuple[Series, ...]:
        """Return the series that `choice` shows: those of its group and those of none."""
        return tuple(series for series in self.series if series.group in ("", choice))

    def across(self, choice: str) -> str:
        """Return the label of the horizontal axis with `choice`."""
        return self.x_labels.get(choice, self.x_label)


@dataclass(frozen=True)
class Chart:
    """One figure: panels side by side, a caption, and the choices of a selector.

    Attributes:
        name: of its files: small letters, digits and hyphens.
        title: above the panels.
        caption: what is plotted, of how many, and of which block.
        panels: pairs of axes.
        choices: groups of the series, in the order of a selector; the first is shown at the start. Empty for none.
        choice: what the selector chooses, such as `layer`.
        palette: keys of color and marker in the order of all figures that are shown together, so that one key looks
            alike in all of them.
    """

    name: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    choices: tuple[str, ...] = ()
    choice: str = ""
    palette: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or self.name.strip("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise UsageError(f"chart.name={self.name!r}: must be small letters, digits and hyphens")
        if not any(panel.series for panel in self.panels):
            raise UsageError(f"chart {self.name!r}: has no series")
        for series in self.series:
            if series.group and series.group not in self.choices:
                raise UsageError(f"series {series.label!r}.group={series.group!r}: known are {', '.join(self.choices)}")

    @property
    def series(self) -> tuple[Series, ...]:
        """The series of all panels."""
        return tuple(series for panel in self.panels for series in panel.series)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of color and marker, each once: those of the palette, then those of the series that have no color.

        A palette of more keys than are told apart is left out.
        """
        own = tuple(dict.fromkeys(series.key for series in self.series if not series.color))
        both = tuple(dict.fromkeys((*self.palette, *own)))
        return both if len(both) <= APART else own
