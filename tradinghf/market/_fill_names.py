"""What brokers call the columns of their lists of fills, in several languages: one table."""

from __future__ import annotations

from collections.abc import Sequence

from tradinghf.market._column_names import plain_name

# In order of preference: where a file has two of one row, the earlier is meant.
_ALIASES = {
    "timestamp": (
        *("date_time", "datetime", "timestamp", "execution_time", "exec_time", "fill_time"),
        *("trade_time", "time", "date", "trade_date", "datum_zeit", "datum"),
        *("zeit", "zeitpunkt", "fecha", "fecha_hora", "date_heure", "data", "成交时间", "約定日時"),
        *("open_time", "close_time"),
    ),
    "symbol": (
        *("symbol", "ticker", "pair", "market", "item", "instrument", "security", "asset"),
        *("underlying", "kürzel", "wertpapier", "símbolo", "symbole", "代码", "銘柄"),
    ),
    "side": (
        *("side", "buy_sell", "b_s", "action", "transaction_type", "type", "direction"),
        *("kauf_verkauf", "richtung", "sens", "lado", "方向", "売買"),
    ),
    "quantity": (
        *("quantity", "qty", "filled_quantity", "filled_qty", "exec_qty", "executed", "filled"),
        *("volume", "size", "shares", "units", "contracts", "amount", "menge", "stück", "anzahl"),
        *("quantité", "cantidad", "成交量", "数量"),
    ),
    "price": (
        *("t_price", "trade_price", "tradeprice", "fill_price", "exec_price", "execution_price"),
        *("avg_price", "average_price", "price", "price_per_share", "kurs", "preis", "prix"),
        *("precio", "成交价", "価格"),
    ),
    "fee": (
        *("fee", "fees", "comm_fee", "gebühr", "gebühren", "spesen", "frais", "手续费"),
        "手数料",
    ),
    "commission": (
        *("commission", "ibcommission", "comm", "commissions", "provision", "comisión"),
    ),
    "tax": ("taxes", "tax", "steuern"),
    "swap": ("swap",),
    "fee_coin": (
        *("fee_coin", "fee_currency", "fee_asset", "commission_asset", "commissionasset"),
        "ibcommissioncurrency",
    ),
    "id": (
        *("trade_id", "tradeid", "execution_id", "exec_id", "execid", "deal", "fill_id", "ticket"),
        *("transaction_id", "transactionid", "id"),
    ),
    "cash": ("cash", "cash_balance", "cash_after", "kontostand", "guthaben"),
    "balance": ("balance",),
    "position": ("position_after", "holdings", "shares_after", "position_size", "bestand"),
    "equity": ("equity", "equity_after", "account_value", "net_liquidation", "depotwert"),
    "profit": ("profit", "realized_p_l", "realized_profit", "realized_pnl", "fifopnlrealized"),
}
_KNOWN = {
    plain_name(alias): (name, place)
    for name, aliases in _ALIASES.items()
    for place, alias in enumerate(aliases)
}
COSTS = ("fee", "commission", "tax", "swap")
NUMBERS = ("quantity", "price", *COSTS, "cash", "balance", "position", "equity", "profit")
NEEDED = ("timestamp", "quantity", "price")

_BUYS = {
    "buy",
    "b",
    "bot",
    "bought",
    "long",
    "kauf",
    "k",
    "achat",
    "compra",
    "买入",
    "买",
    "買",
    "買い",
}
_SELLS = {
    "sell",
    "s",
    "sld",
    "sold",
    "short",
    "verkauf",
    "v",
    "vente",
    "venta",
    "卖出",
    "卖",
    "売",
    "売り",
}


def fill_columns(header: Sequence[str]) -> dict[str, list[int]]:
    """Our name -> places of the header's cells that mean it, the preferred first."""
    found: dict[str, list[tuple[int, int]]] = {}
    for place, cell in enumerate(header):
        name, rank = _KNOWN.get(plain_name(cell), ("", 0))
        if name:
            found.setdefault(name, []).append((rank, place))
    return {name: [place for _, place in sorted(places)] for name, places in found.items()}


def side_of(text: str) -> int:
    """1 for a word that means buying, -1 for selling, 0 for any other."""
    first = text.strip().casefold().replace("_", " ").split(" ")[0]
    return (first in _BUYS) - (first in _SELLS)
