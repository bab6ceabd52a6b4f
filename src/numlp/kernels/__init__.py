"""The loops over numbers. `reference` is the specification: plain NumPy, one equation each."""
