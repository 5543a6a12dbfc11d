"""Clarion with a virtual clock, for the tests of your CI: months of workflows, quiet hours and schedules pass in
milliseconds, and every delivery is recorded in a list with its time.

```python
from clarion.testing import Clarion

with Clarion(start="2026-03-02T09:00:00Z") as clarion:
    clarion.put_user("ana", {"phone": "+12025550143", "zone": "Europe/Rome"})
    clarion.put_template("hello", {"channels": {"sms": {"body": "Hello {{ name }}"}}})
    clarion.put_workflow("welcome", Path("workflows/welcome.toml"))
    clarion.notify(to="ana", workflow="welcome", data={"name": "Ana"})
    clarion.run_for("3w")
    assert [(d.at, d.channel, d.content["body"]) for d in clarion.deliveries] == [("2026-03-03T08:00:00Z", "sms", "Hello Ana")]
```

Everything is real except three parts: time, the journal, which is in memory, and the providers: each channel but the
inbox has one of the vendor `sandbox`. Bodies are those of the HTTP API, checked by the same code. A call that the API
would refuse raises the `CallerError` of its response: `InvalidField` with `field` for an invalid body. Nothing waits,
no socket is opened, and nothing outlives the `with` block. Calls are not coroutines: in an asynchronous test, use a
thread.
"""

from clarion.domain.errors import CallerError, InvalidField
from clarion.testing.clarion import Clarion
from clarion.testing.sending import Delivery

__all__ = ["CallerError", "Clarion", "Delivery", "InvalidField"]
