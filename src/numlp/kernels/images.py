"""The specification of the one kernel that knows that a row is an image; a part of `reference`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_IMAGES = 8  # at a time: the temporaries of a MNIST image take 60 kB


def distort(x: Array, matrix: Array, control: Array, row_weights: Array, column_weights: Array, out: Array) -> None:
    """q_k(r, c) = M_k0 r + M_k1 c + M_k2 + sum_j (sum_i P_ir C_kij) Q_jc,  k = 0, 1;  y(r, c) = x at the point q.

    Each pixel takes its value from the point q of its image, bilinear between the four pixels around it; outside there are
    zeros. For bytes y is rounded, half up. Every operation is float32 (float64 where it meets pixels that are), in the order
    of the equation and without fused multiply-adds, so that the twin gives the same bytes. `out` may be `x`.

    x (N, H W), M = `matrix` (N, 2, 3), C = `control` (N, 2, I, J), P = `row_weights` (I, H), Q = `column_weights` (J, W).
    """
    height, width, wide = row_weights.shape[1], column_weights.shape[1], column_weights.shape[1] + 3
    half = np.float32(0.5 if out.dtype == np.uint8 else 0)
    place = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    for start in range(0, len(x), _IMAGES):
        rows = slice(start, start + _IMAGES)
        images = x[rows].reshape(-1, height, width)
        # a margin of zeros, one pixel before and two after: a point held within [-1, H] has its four pixels inside
        padded = np.zeros((len(images), height + 3, wide), np.result_type(x, np.float32))
        padded[:, 1:-2, 1:-2] = images
        first, rest = [], []
        for k, most in enumerate((height, width)):
            m = matrix[rows, k, :, None, None]
            q = m[:, 0] * place[0] + m[:, 1] * place[1] + m[:, 2]
            for j, weights in enumerate(column_weights):
                field = np.zeros((len(images), height), np.float32)
                for i in range(len(row_weights)):
                    field += row_weights[i] * control[rows, k, i, j, None]
                q += field[:, :, None] * weights
            q = np.fmin(np.fmax(q, np.float32(-1)), np.float32(most))  # fmax takes -1 for a NaN
            first.append(np.floor(q))
            rest.append(q - first[k])
        corner = (first[0].astype(np.intp) + 1) * wide + first[1].astype(np.intp) + 1
        corner += np.arange(len(images))[:, None, None] * padded[0].size
        below, right = rest
        above, left, pixel = 1 - below, 1 - right, padded.reshape(-1)
        y = above * (left * pixel[corner] + right * pixel[corner + 1])
        y += below * (left * pixel[corner + wide] + right * pixel[corner + wide + 1])
        out[rows] = (y + half).astype(out.dtype).reshape(len(images), -1)
