"""Features of a network below its output layer, and decoders fitted to them."""
