"""From files to arrays to mini-batches. Knows nothing of layers."""
