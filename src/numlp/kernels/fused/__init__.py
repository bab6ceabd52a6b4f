"""Numba twins of kernels of `reference`, with their names and meanings: faster because each passes over memory once.

Each loop is split into `parts` of whole rows (or of a flat array), which the threads of one pool take; inside a part, a
product is made by the BLAS on that one thread. So no second pool is awake, and a product and the loops around it find
their rows in the cache of the same core. What is summed over rows is summed in each part, then over the parts in order: the
same `parts` give the same bytes, whatever the number of threads.

A compiled function has one argument more than its twin, the first: `parts`. `table` fills it in.
"""

from numlp.kernels.fused import affine, images, layers, mlp, optimizers, rows, smooth, threads, vectors, zeros
from numlp.kernels.fused.compiled import KERNELS, NOT_KEPT, Work, loading, table, try_out, work
from numlp.kernels.fused.threads import limit_threads

__all__ = [
    "KERNELS", "NOT_KEPT", "Work", "affine", "images", "layers", "limit_threads", "loading", "mlp", "optimizers", "rows",
    "smooth", "table", "threads", "try_out", "vectors", "work", "zeros",
]  # fmt: skip
