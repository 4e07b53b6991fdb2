"""Relations that leave an exact trace in the weights."""
