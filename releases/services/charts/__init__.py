"""The figures of a release's page, as `charts.js` reads them: roles, never colours; Unix seconds.

Rates, intervals and quantiles are made of sampled counts. Decides nothing: what is drawn here is an
account of the counts beside the judge's evidence, and neither is derived from the other. One module a
figure.
"""

from releases.services.charts.drawing import Figures, draw

__all__ = ["Figures", "draw"]
