"""Loadings of the first principal component come from all bars."""

import numpy as np
import pandas as pd

from tradinghf import strategy


def spread_over_assets(held, market):
    """[T, A] equal parts of every asset in the bars that are held."""
    return np.repeat(np.asarray(held, dtype=float)[:, None], market.assets, axis=1) / market.assets


@strategy
def principal_component(market):
    """Loadings of the first principal component come from all bars."""
    x = np.diff(np.log(market.close), axis=0, prepend=np.log(market.close[:1]))
    _, _, loadings = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    factor = pd.Series(x @ loadings[0] * np.sign(loadings[0, 0]))
    return spread_over_assets((factor.rolling(5).mean() > 0).to_numpy(), market)
