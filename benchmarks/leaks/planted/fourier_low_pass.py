"""High frequencies of the whole series are removed."""

import numpy as np

from tradinghf import strategy


@strategy
def fourier_low_pass(market):
    """High frequencies of the whole series are removed."""
    f = np.fft.rfft(market.close, axis=0)
    f[20:] = 0
    smooth = np.fft.irfft(f, n=market.bars, axis=0)
    return (np.gradient(smooth, axis=0) > 0).astype(float)
