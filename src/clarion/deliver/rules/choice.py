"""The order in which a delivery is tried on the accounts of its channel: the preferred one first, unhealthy (degraded) ones
last. This is the order of failover."""

from collections.abc import Mapping, Sequence

from clarion.domain.content import Account
from clarion.domain.limits_delivery import ACCOUNTS_PER_CHANNEL_MAX
from clarion.domain.trail import Trail

_SHARE = 1 << 32


def chance_of(delivery_id: bytes) -> float:
    """Return a number in [0, 1) that is the same each time the same delivery is assigned an account: an attempt that
    was lost at one provider is not repeated at another one without need."""
    return int.from_bytes(delivery_id[-4:], "big") / _SHARE


def account_of_lost(accounts: Sequence[Account], been: Trail | None, delivery_id: bytes, name: str) -> Account | None:
    """Return the account that a lost attempt was made with: the named one if it still exists, and without a name the
    one that the delivery would be assigned if all accounts were healthy."""
    if name:
        return next((one for one in accounts if one.name == name), None)
    order = in_order(accounts, been, {}, chance_of(delivery_id))
    return order[0] if order else None


def in_order(
    accounts: Sequence[Account], been: Trail | None, demoted: Mapping[str, bool], chance: float
) -> list[Account]:
    """Return the accounts to ask, most wanted first: by priority, the first of each priority drawn by weight with
    `chance`, those that are `demoted` (too many failures) after all other accounts. A delivery that one account may
    have sent already is pinned to it, and accounts tried in this pass are left out."""
    if len(accounts) == 1 and (been is None or not been.tried):
        return list(accounts)
    left = [
        account for account in accounts[:ACCOUNTS_PER_CHANNEL_MAX] if been is None or account.name not in been.tried
    ]
    if been is not None and been.pinned:
        pinned = [account for account in left if account.name == been.pinned]
        if pinned:
            return pinned
    ranks: dict[tuple[bool, bool, int], list[Account]] = {}
    for account in left:
        key = (demoted.get(account.name, False), account.rules.weight == 0, account.priority)
        ranks.setdefault(key, []).append(account)
    return [account for key in sorted(ranks) for account in _by_weight(ranks[key], chance)]


def _by_weight(accounts: list[Account], chance: float) -> list[Account]:
    """Return accounts of one priority, the one that `chance` falls on first and the heavier ones of the rest before the
    lighter ones."""
    if len(accounts) == 1:
        return accounts
    point = chance * sum(max(account.rules.weight, 1) for account in accounts)
    first = accounts[-1]
    for account in accounts:
        point -= max(account.rules.weight, 1)
        if point < 0:
            first = account
            break
    rest = [account for account in accounts if account is not first]
    return [first, *sorted(rest, key=lambda account: -account.rules.weight)]
