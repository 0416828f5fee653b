/* Lanes whose key is a text: a product's sku, or an order id from outside that is no UUID. Orders
 * and carts have their own UUID as lane (domain/ids.h). */
#ifndef ORDERLY_APP_LANES_H
#define ORDERLY_APP_LANES_H
#include "orderly/domain/event.h"

/* The first 16 bytes of the text's digest; the same on every machine and for ever, since it is
 * stored. */
struct lane_id lane_of_text(struct str text);
/* The lane of a correlationId as it is written on the wire: a UUID's own bytes, else the digest. */
struct lane_id lane_of_correlation(struct str text);

/* What metadata.correlationId prints: a UUID lane's text, a product's sku, or the foreign order
 * id. */
struct text_id correlation_of_event(const struct event *e);
#endif
