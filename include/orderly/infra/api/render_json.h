/* The API's rendering for who has no server: the same JSON, byte for byte, into a buffer that may
 * hold something already. Pure: any thread. */
#ifndef ORDERLY_INFRA_API_RENDER_JSON_H
#define ORDERLY_INFRA_API_RENDER_JSON_H
#include "orderly/base/buf.h"
#include "orderly/domain/event.h"
#include "orderly/domain/order.h"

/* As GET /events/{eventId} answers. */
void render_json_event(struct buf *out, const struct event *e);
/* As GET /orders/{id} answers; the order must have been placed. */
void render_json_order(struct buf *out, const struct order *order);
#endif
