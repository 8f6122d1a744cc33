"""Contract checks for components and couplings, ours and yours: plain functions for a notebook or a test.

    from energy.testing import check_coupling, check_potential, check_relaxation

    check_potential(Softsign())                  # [] : everything was checked
    check_coupling(Elastic(6, 4), (6,))

Each returns the list of checks that were left out, with the reason (empty if there are none), and raises AssertionError
with a one-line reason if a contract is broken, whatever the subject returns or raises. They work in float64 on copies,
never touch the global random numbers, and take a fraction of a second (a data set as long as it takes to read it
twice). `device` moves the whole check.
"""

from energy.testing.component import check_component
from energy.testing.coupling import check_coupling
from energy.testing.data_set import check_data_set
from energy.testing.feedback import check_feedback
from energy.testing.model import check_model
from energy.testing.objective import check_objective
from energy.testing.potential import check_potential
from energy.testing.relaxation import check_relaxation
from energy.testing.rule import check_plasticity, check_rule
from energy.testing.settler import check_settler
from energy.testing.spiking import check_neuron, check_spike_error, check_surrogate

__all__ = [
    "check_component",
    "check_coupling",
    "check_data_set",
    "check_feedback",
    "check_model",
    "check_neuron",
    "check_objective",
    "check_plasticity",
    "check_potential",
    "check_relaxation",
    "check_rule",
    "check_settler",
    "check_spike_error",
    "check_surrogate",
]
