"""The specification of layers without a matrix product, dropout and normalizations; a part of `reference`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from numlp.kernels.smooth import BLOCK

Array = NDArray[Any]


def random_mask(key: int | np.integer[Any], rate: float, value: float, mask: Array) -> None:
    """mask_i = value with probability 1 - rate, else 0, by a hash of the place i and the 64 bits of `key`.

        h_i = f(f(i + key mod 2^32) + key div 2^32) mod 2^32,  mask_i = value [h_i >= floor(rate 2^32)]

    f is the finalizer of MurmurHash3 (Appleby 2011). A number depends on its place alone, so that any part of the mask
    can be made by anybody, in any order.
    """
    flat, threshold = mask.reshape(-1), np.uint32(int(rate * 2**32))
    size = BLOCK // 3  # of the integers there are three temporaries, one of them twice as wide
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    for start in range(0, flat.size, size):
        h = np.arange(start, min(start + size, flat.size)).astype(np.uint32)
        for part in (low, high):
            h += part
            h ^= h >> np.uint32(16)
            h *= np.uint32(0x85EBCA6B)
            h ^= h >> np.uint32(13)
            h *= np.uint32(0xC2B2AE35)
            h ^= h >> np.uint32(16)
        np.multiply(h >= threshold, flat.dtype.type(value), out=flat[start : start + size])


def dropout(x: Array, key: int | np.integer[Any], rate: float, mask: Array, out: Array) -> None:
    """mask is random, 1 / (1 - rate) or 0, and y = x * mask: inverted dropout, so that the mean of y is x."""
    random_mask(key, rate, 1 / (1 - rate), mask)
    np.multiply(x, mask, out=out)


def dropout_backward(dy: Array, mask: Array) -> None:
    """dx = dy * mask, in the place of dy."""
    dy *= mask


def batch_norm(x: Array, gamma: Array, beta: Array, epsilon: float, x_hat: Array, out: Array) -> tuple[Array, Array, Array]:
    """Return the batch's (mean, biased variance, 1 / sqrt(variance + e)) and write x_hat and y.

    x_hat = (x - mean) / sqrt(variance + e),  y = gamma x_hat + beta, column by column.
    """
    mean = x.mean(axis=0)
    np.subtract(x, mean, out=x_hat)
    variance = np.einsum("no,no->o", x_hat, x_hat) / len(x)
    inverse = 1 / np.sqrt(variance + epsilon)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta
    return mean, variance, inverse


def batch_norm_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat, dx = gamma inverse (dy - dbeta / N - x_hat dgamma / N).

    The two means stand for the way of dx through the batch's mean and variance. dx takes the place of dy, if it is
    wanted. Overwrites `x_hat`.
    """
    n = len(dy)
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if need_dx:
        x_hat *= dgamma / n
        dy -= x_hat
        dy -= dbeta / n
        dy *= gamma * inverse


def standardize(x: Array, mean: Array, inverse: Array, gamma: Array, beta: Array, x_hat: Array, out: Array) -> None:
    """x_hat = (x - mean) inverse,  y = gamma x_hat + beta, column by column: batch norm with given values."""
    np.subtract(x, mean, out=x_hat)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta


def standardize_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat, dx = gamma inverse dy in the place of dy, if it is wanted."""
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if need_dx:
        dy *= gamma * inverse


def layer_norm(x: Array, gamma: Array, beta: Array, epsilon: float, x_hat: Array, out: Array) -> Array:
    """x_hat = (x - mean) / sqrt(variance + e), row by row,  y = gamma x_hat + beta. Return 1 / sqrt(variance + e) (N, 1)."""
    np.subtract(x, x.mean(axis=1, keepdims=True), out=x_hat)
    variance = np.einsum("no,no->n", x_hat, x_hat)[:, None] / x.shape[1]
    inverse = 1 / np.sqrt(variance + epsilon)
    x_hat *= inverse
    np.multiply(x_hat, gamma, out=out)
    out += beta
    return inverse


def layer_norm_backward(
    dy: Array, x_hat: Array, gamma: Array, inverse: Array, dgamma: Array, dbeta: Array, need_dx: bool
) -> None:
    """dbeta = sum_n dy, dgamma = sum_n dy x_hat; dx = inverse (g - mean_o g - x_hat mean_o (g x_hat)), g = gamma dy.

    dx takes the place of dy, if it is wanted. Overwrites `x_hat`.
    """
    np.einsum("no,no->o", dy, x_hat, out=dgamma)
    dy.sum(axis=0, out=dbeta)
    if not need_dx:
        return
    dy *= gamma
    along = np.einsum("no,no->n", dy, x_hat)[:, None] / dy.shape[1]
    dy -= dy.mean(axis=1, keepdims=True)
    x_hat *= along
    dy -= x_hat
    dy *= inverse
