"""Training: recipes, objectives, input, and the loop. Only ``recipes`` is free of TensorFlow."""
