"""The verb `export`: the weights of a finished run as one file, with a card."""

from energy.command import folders
from energy.command.arguments import Arguments
from energy.command.output import show
from energy.component import ConfigurationError
from energy.io.weights import SUFFIX


def export_weights(arguments: Arguments) -> int:
    """Write the weights of a finished run and their card, and print both paths."""
    if len(arguments.rest) != 2 or not arguments.rest[1].endswith(SUFFIX):
        raise ConfigurationError(f"export: takes a run folder and a file that ends in {SUFFIX}")
    (folder,), _ = folders.sort("export", arguments.rest[:1])
    from energy.train.export import export

    for path in export(folder, arguments.rest[1]):
        show(path)
    return 0
