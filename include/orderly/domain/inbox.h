/* What a process without Orders was told of one order: the messages themselves lie in a stream of
 * their own and change no aggregate; here is the little that other contexts have to know of them
 * later, and nobody is there to be asked. */
#ifndef ORDERLY_DOMAIN_INBOX_H
#define ORDERLY_DOMAIN_INBOX_H
#include "orderly/domain/event.h"

struct inbox {
    enum flow_id flow;
    struct reservation_id reservation_id; /* that the order went on with */
    struct shipment_id shipment_id;       /* that the order was shipped with */
    struct shipment_id left_id;           /* the last one that was dispatched or delivered */
    bool is_completed;                    /* picked up */
    uint64_t sequence;
};

/* Any event of the inbox's own stream. */
void inbox_apply(struct inbox *i, const struct event *e);
/* The order's pieces have left, with the shipment that it was shipped with: one that no order asked
 * for takes nothing. */
bool inbox_has_left(const struct inbox *i);
/* Says with which reservation or shipment the order goes on: what left before that was known may be
 * taken now. Messages of different contexts come in any order. */
bool inbox_tells_choice(const struct event *e);
#endif
