/* Attributes of CloudEvents as values of header fields, as the HTTP binding (§3.1.3.2) has them; NATS
 * takes over the same. Kafka and AMQP carry the text as it is. */
#ifndef ORDERLY_INFRA_RENDER_PERCENT_H
#define ORDERLY_INFRA_RENDER_PERCENT_H
#include "orderly/base/arena.h"
#include "orderly/base/buf.h"
#include "orderly/base/err.h"

/* Appends the text, of which blank, `"`, `%` and every byte outside of printable ASCII are written as
 * `%XY`. */
void percent_encode(struct buf *out, struct str text);

/* The way back. A value in double quotes, as senders of older versions write it, loses them and its
 * backslashes first; then each `%xy` is a byte, once. Blanks that were not escaped are taken for
 * themselves, and so is what was escaped without need.
 *
 * ERR_INVALID: an escape that is none, a double quote that is not one of a pair around the value, a
 * byte outside of ASCII or a control character that was not escaped, or bytes that are not UTF-8.
 * Without an escape *out is a view of the value, else it is memory of a. */
MUST_CHECK enum err percent_decode(struct arena *a, struct str value, struct str *out);
#endif
