"""The way out of a training that was asked to leave."""

from pathlib import Path

from energy.train.interrupt import Interrupt
from energy.train.session import Session


def leave_if_asked(session: Session, interrupt: Interrupt, saved: Path | None = None, *, passing: bool = False) -> None:
    """Save and leave after a signal, or after the time limit once this process has got the run further.

    Args:
        session: the training.
        interrupt: the signals and the time.
        saved: the checkpoint of its present state, where the network no longer has the weights of the last step.
        passing: whether this is the middle of what the session is doing, which is then lost.

    Raises:
        Stopped: once the state is saved, with what has to be done again.
    """
    if interrupt.asked and (interrupt.number or session.advanced):
        path = saved or session.save()
        lost = f" and begins again {session.doing}" if passing else ""
        raise interrupt.stopped(f"left after step {session.step}; the same command continues from {path}{lost}")
