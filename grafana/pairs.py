"""The same base and quote on several exchanges: `BTCUSDC`, `BTC/USD` and `BTC-USD` are the pair `BTCUSD`.

By their names, which are all that the store knows: without the signs between base and quote, and with a
dollar's tokens as the dollar. So it holds for whatever was stored before.
"""

from __future__ import annotations

from typing import Final

from grafana.flux import script

# Tokens that exchanges quote in place of the dollar, the longest first.
_DOLLARS: Final = ("FDUSD", "USDC", "USDT")
PAIR_IMPORT: Final = 'import "regexp"'
# Defines `pair`; begins a script, after its imports.
PAIR: Final = script(
    "pair = (symbol) => regexp.replaceAllString(r: /(" + "|".join(_DOLLARS) + ')$/, t: "USD",',
    '  v: regexp.replaceAllString(r: /[-\\/_.]/, t: "", v: symbol))',
)
ALSO_DOLLARS: Final = f"{', '.join(reversed(_DOLLARS[1:]))} and {_DOLLARS[0]} count as USD"
