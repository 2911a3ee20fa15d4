"""What a transcoder is trained on: activations harvested from the model, cached on disk, read in shuffled batches."""
