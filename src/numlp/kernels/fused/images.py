"""Distortion of images."""

import numpy as np

from numlp.kernels.fused.compiled import kernel, part
from numlp.kernels.fused.threads import spread


@part
def _distort(p, parts, x, matrix, control, row_weights, column_weights, margins, points, out):
    n, (n_rows, height), (n_columns, width) = len(x), row_weights.shape, column_weights.shape
    wide = width + 3
    half = np.float32(0.5) if out.itemsize == 1 else np.float32(0)
    pixel, q = margins[p], points[p]
    for s in range(n * p // parts, n * (p + 1) // parts):
        for r in range(height):
            for c in range(width):
                pixel[(r + 1) * wide + c + 1] = x[s, r * width + c]
        for r in range(height):
            for k in range(2):
                start = matrix[s, k, 0] * np.float32(r)
                for c in range(width):
                    q[k, c] = start + matrix[s, k, 1] * np.float32(c) + matrix[s, k, 2]
                for j in range(n_columns):
                    field = np.float32(0)
                    for i in range(n_rows):
                        field += row_weights[i, r] * control[s, k, i, j]
                    for c in range(width):
                        q[k, c] += field * column_weights[j, c]
            for c in range(width):
                # written so that a NaN becomes -1
                q0 = q[0, c] if q[0, c] > np.float32(-1) else np.float32(-1)
                q1 = q[1, c] if q[1, c] > np.float32(-1) else np.float32(-1)
                q0 = q0 if q0 < np.float32(height) else np.float32(height)
                q1 = q1 if q1 < np.float32(width) else np.float32(width)
                first0, first1 = np.floor(q0), np.floor(q1)
                below, right = q0 - first0, q1 - first1
                above, left = np.float32(1) - below, np.float32(1) - right
                corner = np.int32(first0 + np.float32(1)) * wide + np.int32(first1 + np.float32(1))
                y = above * (left * pixel[corner] + right * pixel[corner + 1])
                y += below * (left * pixel[corner + wide] + right * pixel[corner + wide + 1])
                out[s, r * width + c] = y + half


# no flags: a fused multiply-add ("contract") or another order of a sum would round pixels differently from the twin
@kernel(flags=set(), allocates=True)
def distort(parts, x, matrix, control, row_weights, column_weights, out):
    height, width = row_weights.shape[1], column_weights.shape[1]
    # a margin of zeros, one pixel before and two after: a point held within [-1, H] has its four pixels inside
    margins = np.zeros((parts, (height + 3) * (width + 3)), (x[:0, :1] * matrix[:0, 0, :1]).dtype)
    points = np.empty((parts, 2, width), np.float32)
    spread(_distort, parts, (x, matrix, control, row_weights, column_weights, margins, points, out))
