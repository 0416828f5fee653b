/* What the query of a list or a stream asks for, as filters of the log. */
#ifndef ORDERLY_INFRA_API_FILTERS_H
#define ORDERLY_INFRA_API_FILTERS_H
#include "call.h"
#include "orderly/app/queries.h"

/* eventType, aggregateId, orderId, correlationId. False: nothing can fit all of them. What the query
 * points to is the request's. */
bool filter_events(struct call *c, struct json_in *in, struct event_query *q);
/* topic: one, a word's (order.*), or all, which is also what holds where none is named. */
void filter_messages(struct call *c, struct json_in *in, struct event_query *q);
#endif
