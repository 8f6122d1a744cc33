"""The scores of a run as its records name them: of each kind of target one that is compared, the greater the better.

A record has `train_…`, `validation_…` and `test_…` followed by the name of a score.

    accuracy            percent of samples whose class is right
    r2                  1 − Σ(s − y)²/Σ(y − ȳ)², the mean over the outputs; 1 is exact, 0 as good as the mean
    label_accuracy      percent of labels that are right, over all samples and outputs
    mean_squared_error  mean of (s − y)² over samples and outputs
    exact_match         percent of samples all labels of which are right
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple


class Score(NamedTuple):
    """A score that runs are compared by.

    Attributes:
        name: the end of its columns in a record.
        title: in a sentence, or over a column.
        sign: a short form for the head of a narrow column.
        unit: what follows a number.
        digits: behind the point.
        spread: the unit of a difference.
    """

    name: str
    title: str
    sign: str
    unit: str
    digits: int
    spread: str

    @property
    def test(self) -> str:
        """The column of the test split."""
        return f"test_{self.name}"

    @property
    def validation(self) -> str:
        """The column of the validation split."""
        return f"validation_{self.name}"

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def told(self, value: float | None) -> str:
        """Format a value with its unit."""
        return "–" if value is None else f"{value:.{self.digits}f}{f' {self.unit}' if self.unit else ''}"


ACCURACY: Final = Score("accuracy", "accuracy", "%", "%", 2, "percentage points")
R2: Final = Score("r2", "R²", "R²", "", 4, "units of R²")
LABEL_ACCURACY: Final = Score("label_accuracy", "label accuracy", "labels %", "%", 2, "percentage points")
MAIN: Final = (ACCURACY, R2, LABEL_ACCURACY)
BESIDE: Final = {"mean_squared_error": ("mean squared error", ""), "exact_match": ("exact match", "%")}
SPLITS: Final = ("train", "validation", "test")
COLUMNS: Final = tuple(
    f"{split}_{name}" for split in SPLITS for name in (R2.name, LABEL_ACCURACY.name, *BESIDE)
)  # those that a record has beside accuracy


def main_score(found: Mapping[str, Any], split: str = "test") -> Score:
    """Return the score that a record has of a split; accuracy if it has none."""
    return next((score for score in MAIN[1:] if f"{split}_{score.name}" in found), ACCURACY)


def main_value(found: Mapping[str, Any], split: str = "test") -> float | None:
    """Return the value of the score that a record has of a split; None if it has none."""
    return found.get(f"{split}_{main_score(found, split).name}")


def common_score(records: Iterable[Mapping[str, Any]], split: str = "test") -> Score:
    """Return the first score of these records that is not accuracy; accuracy if there is none."""
    return next((score for one in records if (score := main_score(one, split)) is not ACCURACY), ACCURACY)


def further_scores(found: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return what `energy.train.scores` measured beside accuracy, by its columns; empty for classes.

    Args:
        found: scores by name, such as `r2`.
        split: the beginning of the columns.
    """
    names = (R2.name, LABEL_ACCURACY.name, *BESIDE)
    return {f"{split}_{name}": found[name] for name in names if name in found}
