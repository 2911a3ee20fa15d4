"""Training a cross-layer transcoder: recipe, kernels, objective, loop, checkpoints, export."""
