"""The maps of couplings in several forms, the fastest of which runs inside `energy.kernels.fused`."""

from energy.couplings.forms.choice import (
    Choice,
    Form,
    chosen_forms,
    forget_forms,
    held_forms,
    load_forms,
    prefer,
    recall_forms,
    record_forms,
    resume_forms,
)
from energy.couplings.forms.geometry import Geometry
from energy.couplings.forms.memo import Memo

__all__ = [
    "Choice",
    "Form",
    "Geometry",
    "Memo",
    "chosen_forms",
    "forget_forms",
    "held_forms",
    "load_forms",
    "prefer",
    "recall_forms",
    "record_forms",
    "resume_forms",
]
