"""A standard scaler is fitted before the split into past and future."""

import numpy as np
import pandas as pd

from tradinghf import strategy


@strategy
def scaler_fitted_on_everything(market):
    """A standard scaler is fitted before the split into past and future."""
    x = np.diff(np.log(market.close), axis=0, prepend=np.log(market.close[:1]))
    centre, spread = x.mean(axis=0), x.std(axis=0)
    scaled = pd.DataFrame((x - centre) / spread)
    return (scaled.rolling(10).mean() > 0.2).astype(float)
