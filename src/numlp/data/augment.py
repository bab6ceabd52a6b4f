"""New training rows from old ones: images moved, turned and bent at random, anew in every batch."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp import kernels
from numlp.attributes import Part, number
from numlp.errors import DTypeError, ShapeError, check_count, check_matrix, check_number

Array = NDArray[Any]

_SPACING = math.sqrt(3)  # a cubic B-spline of knot spacing h is close to a Gaussian of sigma = h / sqrt(3)
_ENERGY = 151 / 315  # integral of the squared cubic B-spline of spacing 1


class Augmentation(Part):
    """Contract of what `fit` calls on the rows of each training batch, and on no others.

    Whatever is random is drawn from the `rng` of the call, and nothing is remembered from one call to the next: then the
    state of the network's generator is all that a training must keep to go on exactly.
    """

    def check(self, x: Array, where: str) -> None:
        """Raise ShapeError or DTypeError if rows such as x do not fit."""

    def __call__(self, x: Array, rng: np.random.Generator, out: Array | None = None) -> Array:
        """Write the changed rows into `out`, which may be x itself (None: a new array), and return it."""
        raise NotImplementedError


class Distortion(Augmentation):
    """Rotate, slant, scale, shift and bend images at random, each image in its own way.

        F = [[cos a, -sin a], [sin a, cos a]] [[1, 0], [-tan b, 1]] diag(s_r, s_c)     (1)
        q = m + F^-1 (p - m - t) + u(p)                                                 (2)
        u_k(r, c) = A sum_ij B(r / h - i) B(c / h - j) e_kij,  e ~ U(-1, 1)             (3)
        y(p) = x(q), bilinear, zero outside the image; rounded for bytes                (4)

    p = (r, c) is a pixel, m the middle of the image; for each image a ~ U(-rotation, rotation), positive is
    counterclockwise, b ~ U(-shear, shear), positive leans to the right, s_r and s_c ~ U(1 - scale, 1 + scale), t_r and
    t_c ~ U(-shift, shift).

    The field u is that of Simard et al., alpha G_sigma * U(-1, 1) with a number for each pixel, made from fewer numbers:
    the cubic B-spline B is four boxes of width h convolved, so nearly a Gaussian, with the variance h^2 / 3. Numbers on a
    grid of h = sqrt(3) sigma therefore give a field that is equally smooth (for 28 x 28 and sigma 4, 98 numbers instead of
    1568, and nothing to convolve), and A = alpha / (2 sqrt(pi) sigma 151 / 315) one that is equally large: for either, the
    standard deviation of a displacement is alpha / (2 sqrt(3 pi) sigma), 1.38 pixels for 34 and 4.

    Shapes  x, y (N, H W), uint8, float32 or float64; the pixels outside the image count as 0.
    Errors  ShapeError, DTypeError about x or out.
    Source  Simard, Steinkraus, Platt 2003, "Best practices for convolutional neural networks applied to visual document
        analysis", section 2; Unser 1999, "Splines: a perfect fit", for the limit of B-splines. Scaling of the two axes
        apart as in Ciresan, Meier, Gambardella, Schmidhuber 2010.

    Parameters
    ----------
    shape
        (H, W).
    rotation, shear
        Largest angles, degrees; shear below 90.
    scale
        Largest relative change of height and of width, in [0, 1).
    shift
        Largest shift along each axis, pixels.
    alpha
        Strength of the bending, as in (3); 0 turns it off.
    sigma
        Smoothness of the bending, pixels, at least 0.5.

    Examples
    --------
    >>> import numpy as np
    >>> from numlp.data.augment import Distortion
    >>> images = np.random.default_rng(0).integers(0, 256, (5, 784)).astype(np.uint8)
    >>> distorted = Distortion()(images, np.random.default_rng(1))
    >>> distorted.shape, distorted.dtype
    ((5, 784), dtype('uint8'))
    """

    rotation: float = number(low=0)
    shear: float = number(low=0, below=90)
    scale: float = number(low=0, below=1)
    shift: float = number(low=0)

    def __init__(
        self,
        shape: tuple[int, int] = (28, 28),
        rotation: float = 10.0,
        shear: float = 10.0,
        scale: float = 0.15,
        shift: float = 1.5,
        alpha: float = 34.0,
        sigma: float = 5.0,
    ) -> None:
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise DTypeError(f"Distortion: shape must be (height, width), got {shape!r}")
        self.shape = check_count(shape[0], "Distortion", "height"), check_count(shape[1], "Distortion", "width")
        self.rotation, self.shear, self.scale, self.shift = rotation, shear, scale, shift
        self.alpha = check_number(alpha, "Distortion", "alpha", low=0)
        self.sigma = check_number(sigma, "Distortion", "sigma", low=0.5)
        spacing = self.sigma * _SPACING if self.alpha else None
        self._weights = spline_weights(self.shape[0], spacing), spline_weights(self.shape[1], spacing)
        self._draws = np.empty((0, 6), np.float32)
        self._control = np.empty((0, 2, *(len(weights) for weights in self._weights)), np.float32)

    def __repr__(self) -> str:
        names = ("shape", "rotation", "shear", "scale", "shift", "alpha", "sigma")
        return f"Distortion({', '.join(f'{name}={getattr(self, name)}' for name in names)})"

    def check(self, x: Array, where: str) -> None:
        """Raise unless x is (n, H W) and uint8, float32 or float64."""
        check_matrix(x, f"{where}: Distortion(shape={self.shape})", "x", self.shape[0] * self.shape[1])
        if x.dtype not in (np.uint8, np.float32, np.float64):
            raise DTypeError(f"{where}: Distortion: x must be uint8, float32 or float64, got {x.dtype}")

    def __call__(self, x: Array, rng: np.random.Generator, out: Array | None = None) -> Array:
        """Equations (1) to (4), with new random numbers for each row."""
        self.check(x, "distort")
        x = np.ascontiguousarray(x)
        out = np.empty_like(x) if out is None else out
        if out.shape != x.shape or out.dtype != x.dtype or not out.flags.c_contiguous:
            raise ShapeError(
                f"distort: out must be a C-contiguous {x.dtype} array of shape {x.shape}, got {out.dtype} {out.shape}"
            )
        matrix, control = self._draw(len(x), rng)
        kernels.distort(x, matrix, control, *self._weights, out)
        return out

    def _draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return the matrices of n images and a view of their A e, which is valid until the next call."""
        if n > len(self._draws):
            self._draws = np.empty((n, 6), np.float32)
            self._control = np.empty((n, *self._control.shape[1:]), np.float32)
        draws, control = self._draws[:n], self._control[:n]
        for values in (draws, control):
            rng.random(dtype=np.float32, out=values)
            values *= 2
            values -= 1
        control *= np.float32(self.alpha / (2 * math.sqrt(math.pi) * self.sigma * _ENERGY))
        a, b, s_r, s_c, t_r, t_c = draws.T
        matrix = affine_matrices(
            self.shape,
            angle=math.radians(self.rotation) * a,
            slant=math.radians(self.shear) * b,
            scale=(1 + self.scale * s_r, 1 + self.scale * s_c),
            shift=(self.shift * t_r, self.shift * t_c),
        )
        return matrix, control


def affine_matrices(
    shape: tuple[int, int], angle: Array, slant: Array, scale: tuple[Array, Array], shift: tuple[Array, Array]
) -> Array:
    """Return (N, 2, 3): from a pixel (r, c, 1) to the point q of equation (2), without the field; angles in radians."""
    cos, sin, tan = np.cos(angle), np.sin(angle), np.tan(slant)
    matrix = np.empty((len(angle), 2, 3), np.float32)
    middle = [(size - 1) / 2 for size in shape]
    rows = [(cos, sin), (tan * cos - sin, tan * sin + cos)]  # of the inverse of the first two factors of F
    for k, row in enumerate(rows):
        m = [entry / scale[k] for entry in row]
        matrix[:, k, 0], matrix[:, k, 1] = m
        matrix[:, k, 2] = middle[k] - m[0] * (middle[0] + shift[0]) - m[1] * (middle[1] + shift[1])
    return matrix


def spline_weights(size: int, spacing: float | None) -> Array:
    """Return (I, size): B(p / h - i) of each of I knots at each pixel, the grid centred on the image; I = 0 without spacing.

    B(d) = 2/3 - d^2 + |d|^3 / 2 for |d| < 1, (2 - |d|)^3 / 6 for |d| < 2, else 0; at each pixel the weights add up to 1.
    """
    if spacing is None:
        return np.zeros((0, size), np.float32)
    cells = max(1, math.ceil((size - 1) / spacing))
    pixels = 1 + cells / 2 + (np.arange(size) - (size - 1) / 2) / spacing
    d = np.abs(pixels - np.arange(cells + 3)[:, None])
    return np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.maximum(2 - d, 0) ** 3 / 6).astype(np.float32)
