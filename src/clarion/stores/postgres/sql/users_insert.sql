-- New users, in their order, so that their ordinals are in it, too. A user that is there by now is left out.
INSERT INTO users (
    tenant, user_id, profile_id, email, phone, whatsapp, chat, webhook, locale, zone, devices, device_kinds, attributes,
    more_contacts, last_seen_ms, created_ms, updated_ms
)
SELECT $1, g.user_id, g.profile_id, g.email, g.phone, g.whatsapp, g.chat, g.webhook, g.locale, g.zone, g.devices,
    string_to_array(g.device_kinds, ' '), g.attributes, g.more_contacts, g.last_seen_ms, $2, $2
FROM unnest(
    $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::bytea[], $13::text[], $14::text[], $15::text[], $16::bigint[]
) WITH ORDINALITY AS g (
    user_id, profile_id, email, phone, whatsapp, chat, webhook, locale, zone, devices, device_kinds, attributes,
    more_contacts, last_seen_ms, n
)
ORDER BY g.n
ON CONFLICT (tenant, user_id) DO NOTHING
RETURNING user_id, ordinal
