"""The parameters of a network by the layers they belong to."""

from energy.network import Network


def layer_of(network: Network) -> dict[str, str]:
    """Return, for each parameter's name, the name of the layer whose drive it belongs to."""
    owners: dict[int, str] = {}
    for edge in network.edges:
        for parameter in edge.coupling.parameters():
            owners.setdefault(id(parameter), network.layers[edge.target - 1].name)
    return {name: owners[id(parameter)] for name, parameter in network.named_parameters()}


def parameters(network: Network) -> int:
    """Return the number of numbers in them."""
    return sum(parameter.numel() for parameter in network.parameters())
