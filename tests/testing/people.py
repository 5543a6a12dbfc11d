"""Users to send to, and short summaries of the results."""


def put_person(clarion, name, zone, **more):
    devices = [{"id": "phone", "channel": "push", "token": f"token-of-{name}"}]
    clarion.put_user(name, {"phone": "+12025550143", "zone": zone, "devices": devices, **more})


def sent(clarion):
    """Return the sent deliveries, as (at, user, channel, template)."""
    return [(d.at, d.user_id, d.channel, d.template) for d in clarion.deliveries]


def bodies(clarion):
    """Return the sent SMS, as (at, text)."""
    return [(d.at, d.content["body"]) for d in clarion.deliveries if d.channel == "sms"]


def reasons(clarion, notification):
    """Return the deliveries of a notification, as sorted (channel, state, reason)."""
    found = clarion.notification(notification)["deliveries"]
    return sorted((d["channel"], d["state"], d["reason"]) for d in found)
