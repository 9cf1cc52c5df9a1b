"""Names that columns of logs and tables usually have."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ROLES", "usual_column"]

#: In lower case without separators, the most usual first.
_USUAL = {
    "user": ("user", "userid", "uid", "customer", "customerid", "visitor", "visitorid", "member",
             "memberid", "reviewerid", "account", "accountid", "session", "sessionid", "uidx"),
    "item": ("item", "itemid", "iid", "movie", "movieid", "product", "productid", "asin", "sku",
             "article", "articleid", "book", "bookid", "isbn", "news", "newsid", "song", "songid",
             "track", "trackid", "parentasin"),
    "value": ("rating", "value", "score", "stars", "overall", "count", "plays", "playtime",
              "quantity", "weight"),
    "time": ("timestamp", "time", "ts", "date", "datetime", "unixreviewtime", "createdat", "when"),
}  # fmt: skip

#: What a column of a log may be.
ROLES = tuple(_USUAL)


def usual_column(names: Sequence[str], role: str, *more: str) -> str | None:
    """Return the column whose bare name is the most usual for a role, or None.

    Args:
        names: The columns there are.
        role: ``user``, ``item``, ``value`` or ``time``.
        *more: Further bare names, less usual than the role's.
    """
    bare = {"".join(c for c in name.lower() if c.isalnum()): name for name in reversed(names)}
    return next((bare[name] for name in (*_USUAL[role], *more) if name in bare), None)
