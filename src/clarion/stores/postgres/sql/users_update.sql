-- Users whose rows are locked. NULL devices and times leave the stored ones unchanged; no devices are an empty list.
UPDATE users u SET
    profile_id = g.profile_id, email = g.email, phone = g.phone, whatsapp = g.whatsapp, chat = g.chat,
    webhook = g.webhook, locale = g.locale, zone = g.zone, devices = coalesce(g.devices, u.devices),
    device_kinds = CASE WHEN g.devices IS NULL THEN u.device_kinds ELSE string_to_array(g.device_kinds, ' ') END,
    attributes = g.attributes, more_contacts = g.more_contacts,
    last_seen_ms = coalesce(g.last_seen_ms, u.last_seen_ms), updated_ms = $2
FROM unnest(
    $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::bytea[], $13::text[], $14::text[], $15::text[], $16::bigint[]
) AS g (
    user_id, profile_id, email, phone, whatsapp, chat, webhook, locale, zone, devices, device_kinds, attributes,
    more_contacts, last_seen_ms
)
WHERE u.tenant = $1 AND u.user_id = g.user_id
