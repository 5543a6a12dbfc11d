"""One attempt of a delivery with its account: what came of it, and what follows."""

from clarion.deliver.partition.results import Result
from clarion.deliver.partition.work import Work
from clarion.deliver.partition.worker_context import ChannelContext
from clarion.deliver.rules.retry import ACCEPTED, Turn, after
from clarion.domain.channel import Lane
from clarion.domain.outcome import Accepted
from clarion.domain.trail import Trail


async def attempt(context: ChannelContext, item: Work, started_ms: int) -> Result:
    """Make one attempt, report its outcome to the account and return the result."""
    row, account = item.row, item.account
    answer = await context.sender.attempt(context.channel, row, account, item.lane is Lane.CRITICAL)
    if account is not None:
        context.accounts.report_outcome(account, answer.outcome, started_ms)
        if context.accounts.is_urgent:
            await context.accounts.flush()
    if isinstance(answer.outcome, Accepted):
        return Result(row, answer, ACCEPTED, started_ms, context.clock.now_ms())
    turn = Turn(
        context.clock.now_ms(),
        context.clock.jitter(),
        answer.provider,
        others=context.accounts.has_untried(item.accounts, context.channel, row, answer.provider),
        falls_back=item.degrades,
        on_ambiguous=item.accounts.on_ambiguous(account),
        expires_ms=row.expires_ms,
    )
    following = after(answer.outcome, row.trail or Trail(), context.policy, turn)
    return Result(row, answer, following, started_ms, turn.now_ms)
