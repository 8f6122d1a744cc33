"""A rehearsal of a run: every fault that can be found before its data are read or its weights drawn.

The network is built on torch's meta device, where tensors have shapes and no numbers, so that a size that would fill
the memory costs nothing. Faults that depend on numbers, the data or the device show when the run starts.
"""

from energy.component import ConfigurationError
from energy.errors import DataError
from energy.io.result import is_finished
from energy.train.draft import drafted
from energy.train.matching_layers import load_matching_layers
from energy.train.run import Run
from energy.train.stages import require_learning, stages


def rehearse(run: Run) -> None:
    """Build the network of `run` without numbers, and check everything that the run needs.

    Checked are an image, the layers that learn, the read-out, the groups of the optimizer, the weights it starts from,
    and the batch against the number of training images.

    Raises:
        ConfigurationError: for the first thing that does not fit.
    """
    _fill_a_batch(run)
    network = drafted(run)
    require_learning(run, network, stages(run, network))
    run.optimizer.create(network)
    if run.train.start and not is_finished(run.folder):
        try:
            load_matching_layers(network, run.train.start, run.train.layer_map)
        except FileNotFoundError as error:
            raise ConfigurationError(f"train.start={run.train.start!r}: {error}") from None


def _fill_a_batch(run: Run) -> None:
    """Compare the batch with the number of training images, as far as that is known before they are read."""
    counts = run.data.counts if getattr(run.data, "verify", True) else None
    try:
        images = run.data.divided(counts[0])[0] if counts else run.data.limit
    except DataError as error:
        raise ConfigurationError(str(error)) from None
    if images and run.train.batch_size > images:
        at_most = f"at most the {images} images of data={run.data.name} that are trained on"
        raise ConfigurationError(f"train.batch_size={run.train.batch_size}: must be {at_most}")
