"""The words in which traders talk about aspects of trading."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CommentAspect:
    """Something that traders talk about.

    Attributes:
        name: of the chip and the tag.
        columns: the reward model's aspects that it stands for.
        terms: regular expressions of whole words, one in a line.
        examples: sentences that mean it, one in a line; for reading by meaning.

    """

    name: str
    columns: tuple[str, ...]
    terms: str
    examples: str


_ALL = (
    CommentAspect(
        "profit",
        ("profit",),
        r"""
        profit(s|able|ability)?
        p\s?&\s?l|pnl
        returns?
        gains?|gained
        (made|makes?|making) (good |more |most |some |the most )?money
        (lost|loses?|losing) (\w+ )?money|money lost|net loss
        earn(s|ed|ings?)?
        performance|performed|(out|under)perform\w*
        ended (up )?(higher|lower|well|ahead)|final equity|bottom line
        """,
        """
        It made the most money.
        The final profit is higher.
        It lost money overall.
        """,
    ),
    CommentAspect(
        "drawdown",
        ("max_drawdown", "average_drawdown"),
        r"""
        draw\s?-?downs?|dd|underwater
        peak[- ]to[- ](trough|valley)
        (big|large|huge|long|steep|sharp|ugly|painful) (dips?|falls?|drops?|slumps?|holes?)
        deep(er|est)? (an? )?(dips?|falls?|drops?|slumps?|holes?)
        (small|shallow) (dips?|falls?|drops?|slumps?|holes?)
        hole in (the|its) (equity|curve|account)
        equity (dip\w*|fell|falls?|drop\w*|sank|collaps\w*|dived|crater\w*|slump\w*)
        recover(s|ed|y)? (slowly|late|never|too)|never recovered|slow to recover
        """,
        """
        The equity fell far below its peak.
        The drawdown is too deep.
        It was under water for a long time.
        """,
    ),
    CommentAspect(
        "worst_bar",
        ("worst_bar",),
        r"""
        crash(es|ed)?|blow[- ]?ups?|blew up|wiped out
        (one|single|sudden|huge|big|biggest|worst|nasty) (\w+ )?(loss|day|bar|hit|shock)
        gap(s|ped)? (down|against)|tail (risk|event|loss)\w*|fat tail\w*
        """,
        """
        One single day lost far too much.
        A sudden crash wiped out the gains.
        """,
    ),
    CommentAspect(
        "turnover",
        ("turnover", "trades"),
        r"""
        turn\s?-?over
        over[- ]?trad\w+|churn(s|ed|ing)?
        (too many|so many|many|few|fewer|less|lots of) (trades?|orders?|fills|switches|flips)
        (constant|frequent|needless) (trad\w+|orders?|fills|switch\w+|flip\w*)
        trad(es|ed|ing) (too much|too often|a lot|constantly|less|rarely|so much|all the time)
        flip\w*|in and out|whipsaw\w*|back and forth|jump(s|ing) around|nervous|hectic|hyperactive
        fees?|commissions?|(trading |transaction )?costs?|slippage
        """,
        """
        It trades far too often.
        It pays too much in fees.
        It keeps switching in and out.
        """,
    ),
    CommentAspect(
        "time_in_market",
        ("time_in_market",),
        r"""
        exposures?|exposed|leverag\w*|position siz\w+|siz(e|ing)|oversized|all[- ]in
        time in (the )?market|always (in|invested)|fully invested|stay(s|ed) invested
        (in|stay(s|ed)?|sat|sits?|sitting|goes|went|keeps?|mostly) (in )?(cash|flat)
        (on the )?sidelines?|out of the market|inactive|idle|do(es|ing) nothing|did nothing
        never trades|too (large|big|small|heavy) (a )?(position|bet)s?|big bets?
        (positions?|bets?) (is |are |was |were )?(much |way |far )?too (large|big|small|heavy)
        (large|heavy|small|smaller|bigger|larger) positions?
        """,
        """
        It is invested all the time.
        It stays in cash and does nothing.
        Its positions are too large.
        """,
    ),
    CommentAspect(
        "short",
        ("short_exposure",),
        r"""
        short(s|ed|ing)?(?! (term|time|while|period|hold\w*))
        bet(s|ting)? against|bearish bets?|sell(s|ing)? short|sold short
        """,
        """
        It sells short.
        It bets against the market.
        I do not want short positions.
        """,
    ),
    CommentAspect(
        "volatility",
        ("variance", "downside_variance"),
        r"""
        volatil\w*|vol|variance
        smooth\w*|stead(y|ily|ier)|stable|stability|consistent\w*
        bumpy|jagged|choppy|erratic\w*|rough|wild\w*|swing\w*|noisy|jumpy
        roller ?coaster|ups and downs|calm\w*|boring
        sharpe|sortino|risk[- ]adjusted|risk(y|ier|iness)?
        """,
        """
        The equity curve is smooth and steady.
        It swings up and down wildly.
        It is too risky.
        """,
    ),
    CommentAspect(
        "holding_losers",
        ("holding_losers",),
        r"""
        (hold\w*|held|hang\w*|hung) (on(to)? |to )*(\w+ ){0,2}(los(er|ers|s|ses|ing)|red)( trades?)?
        (sit\w*|sat|stay\w*|kept|keep\w*) (on |with )?(\w+ ){0,2}(los(er|s|ing)\w*|red)( trades?)?
        (carr\w+|rid\w+|rode) (\w+ ){0,2}(los(er|ers|s|ses|ing)|red)( trades?)?
        (held|kept|sat|sits?|stays?) (\w+ ){0,2}under ?water
        losers (held|kept|run\w*|too long)|let(s|ting)? (the |its |his )?loss(es|ers)? run
        averag(e|es|ed|ing) down|hop(es|ed|ing) (it|for|that)\b|stubborn\w*
        refus\w+ to (sell|exit|close)
        """,
        """
        It holds losing trades far too long.
        It sits in the red and hopes.
        It lets losses run.
        """,
    ),
    CommentAspect(
        "loss_cutting",
        ("holding_losers",),
        r"""
        cut(s|ting)? (the |its |his )?(\w+ )?los(s|ses|ers?)|cut(s)? (it|them) (early|quickly|fast)
        stop[- ]?loss\w*|stop(s|ped)? out|(tight )?stops|(tight|hard|trailing|good|no) stop
        (exit|get|got|bail)\w*( out)? (\w+ )?(when|once|as soon as) (\w+ ){0,3}(wrong|losing|down)
        admit\w* (it was |being )?wrong|(take|takes|took|taking) (the |a |its )?(\w+ )?loss(es)?
        """,
        """
        It cuts its losses quickly.
        It has a tight stop loss.
        It gets out when it is wrong.
        """,
    ),
    CommentAspect(
        "giving_back",
        ("giving_back",),
        r"""
        g(ive|ives|ave|iving|iven) (\w+ ){0,3}(back|away|up)( (\w+ ){0,3}(gains?|profits?))?
        round[- ]?trip\w*
        let(s|ting)? (\w+ ){0,2}(profits?|gains?|winners?) (evaporate|slip|go|vanish|fade)
        (profits?|gains?) (evaporat\w*|vanish\w*|disappear\w*|melt\w*|erod\w*)
        (tak(e|es|ing)|took|lock\w*|bank\w*|secur\w+|book\w*) (in )?(\w+ )?(profits?|gains?)
        protect\w* (\w+ )?(profits?|gains?)
        take[- ]?profits?|profit[- ]taking|exits? too late|too late to exit|sold too late
        """,
        """
        It gave back all its open profit.
        It takes profits in time.
        The gains evaporated again.
        """,
    ),
    CommentAspect(
        "trend",
        ("trend_riding",),
        r"""
        (counter[- ]?)?trend\w*|momentum|contrarian|mean[- ]revers\w+|falling kni(fe|ves)
        (with|against|fight\w*|follow\w*) (\w+ ){0,2}(moves?|rall(y|ies)|market|tide|tape|direction)
        (rode|rid(e|es|ing)|caught|catch\w*|miss\w*|fad(e|ed|ing)) (\w+ ){0,2}(moves?|rall(y|ies))
        (rode|rid(e|es|ing)|caught|catch\w*|miss\w*) (\w+ ){0,2}(wave|breakout|rise|up ?move|run)
        let(s|ting)? (the |its |his )?(winners?|profits?) (run|ride)|cuts? (its |the )?winners
        """,
        """
        It follows the trend.
        It fights the market's direction.
        It missed the whole rally.
        """,
    ),
)
LEXICON: dict[str, CommentAspect] = {item.name: item for item in _ALL}


def split_lines(block: str) -> list[str]:
    """The non-empty lines of a block, without indentation."""
    return [line.strip() for line in block.splitlines() if line.strip()]
