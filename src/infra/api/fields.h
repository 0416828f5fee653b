/* What header fields and query values say, as pure functions. */
#ifndef ORDERLY_INFRA_API_FIELDS_H
#define ORDERLY_INFRA_API_FIELDS_H
#include "orderly/app/command.h"
#include "orderly/base/str.h"

/* Takes the next item off a comma-separated list, trimmed, empty ones passed over; commas inside
 * quoted strings do not count. False when nothing is left. */
bool field_next_item(struct str *rest, struct str *item);

/* False only where Accept shuts `type/subtype` out. A problem counts as JSON. */
bool field_accepts(struct str accept, struct str type, struct str subtype);
/* How much Accept wants exactly this range (`application/json`, `text/html`), in thousandths; -1: it
 * does not name it. */
int field_accept_quality(struct str accept, struct str range);

/* 1..255 visible ASCII, bare or as a quoted string of RFC 9651. */
bool field_idempotency_key(struct str value, struct arena *a, struct str *key);
/* 1..64 printable ASCII. */
bool field_user_id(struct str value);
/* Adds the tags of an If-Match to the command; false: no list of entity tags, or too long. */
bool field_if_match(struct str value, struct command *c);
/* If-None-Match against one of our tags (a number); weak comparison. */
bool field_none_match_hits(struct str value, uint64_t tag);

/* A place in the log as streams name it: `<epoch>.<position>`, or a position alone (epoch->n == 0).
 * The epoch is 1..API_EPOCH_MAX hexadecimal digits, lower case. */
bool field_position(struct str value, struct str *epoch, uint64_t *position);

/* `10s`, `500ms`, `15m`, `2h`, `1d`, plain seconds. False: none of these, or beyond max. */
bool field_duration(struct str value, int64_t max_ms, int64_t *ms);
#endif
