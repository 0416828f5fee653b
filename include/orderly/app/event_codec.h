/* Events as rows of the log: compact, binary, readable for ever.
 *
 * row = format(1) type(2) payload version(2) verdict(1) handled_by(1) flags(1) stream(1 + id)
 *       lane(16) sequence(8) event id(16) occurred_at_ms(8) [cause(16)] [user id] [traceparent]
 *       [message id] [raw payload] [the cause's message id]
 *       count of fields(1) { field number(1) value }*
 *
 * Integers are big endian; empty fields are left out. The position is the row's key and not in the
 * row. Any thread. */
#ifndef ORDERLY_APP_EVENT_CODEC_H
#define ORDERLY_APP_EVENT_CODEC_H
#include "orderly/base/arena.h"
#include "orderly/base/buf.h"
#include "orderly/base/err.h"
#include "orderly/domain/event.h"

/* Appends the event's row to out. Everything but the position is written. */
void event_encode(const struct event *e, struct buf *out);
/* At most so many bytes; where out has room for them it is not enlarged. */
size_t event_encoded_max(const struct event *e);

/* Reads a row, lifted to the payload version of today. out: strings are views into the row, arrays
 * and the address are in the arena; both must outlive it.
 *
 * Outcome: ERR_OK
 *          ERR_DAMAGED  cut off, too long, an unknown format, type or field, a value out of range,
 *                       or the payload of a newer version; out is then undefined
 * The row is never read past its end, whatever it holds. */
MUST_CHECK enum err event_decode(struct str row, uint64_t position, struct event *out,
                                 struct arena *a);

/* One step of lifting old payloads: from `from` to `from + 1`. Pure; may take memory from the arena. */
struct event_lift_step {
    enum event_type type;
    uint16_t from;
    void (*lift)(struct payload *p, struct arena *a);
};
/* Brings e->p from e->version to version `to` by the steps; ERR_DAMAGED if it is newer than that or
 * a step is missing. event_decode does this with the steps of the product and the catalogue's
 * version. */
MUST_CHECK enum err event_lift(struct event *e, uint16_t to, const struct event_lift_step *steps,
                               unsigned n_steps, struct arena *a);
#endif
