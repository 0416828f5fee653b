/* An event in one line for people:
 *
 *   2026-11-20T12:00:00.000Z         42  OrderPlaced    0199a1f3-…  2 lines, 39.98 USD, customer-789
 *
 * The words behind the id are those of its payload that tell most; `--json` shows all of it. */
#ifndef SRC_INFRA_OPERATE_EVENT_LINE_H
#define SRC_INFRA_OPERATE_EVENT_LINE_H
#include "orderly/base/buf.h"
#include "orderly/domain/event.h"

/* Safe for a terminal, whatever the event holds; ends with a newline. */
void event_line_add(struct buf *out, const struct event *e);
/* The words only, without an end. */
void event_words_add(struct buf *out, const struct event *e);
#endif
