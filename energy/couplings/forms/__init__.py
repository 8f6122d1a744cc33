"""The maps of couplings in several forms, the fastest of which runs inside `energy.kernels.fused`."""

from energy.couplings.forms.choice import Choice, Form, choices, forget, load, prefer, recall, record
from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.memo import Memo

__all__ = ["Choice", "Form", "Geometry", "Memo", "choices", "forget", "load", "prefer", "recall", "record"]
