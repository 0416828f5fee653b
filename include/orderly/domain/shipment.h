/* A shipment as the Shipments context knows it. `is_confirmed`: Shipments has handled OrderShipped;
 * not an event, a row written with that handling. */
#ifndef ORDERLY_DOMAIN_SHIPMENT_H
#define ORDERLY_DOMAIN_SHIPMENT_H
#include "orderly/domain/event.h"

#define SHIPMENT_STATUS_MAP(X)                                                                     \
    X(CREATED)                                                                                     \
    X(DISPATCHED)                                                                                  \
    X(DELIVERED)                                                                                   \
    X(CANCELLED)
enum shipment_status {
    SHIPMENT_STATUS_NONE,
#define X(name) SHIPMENT_STATUS_##name,
    SHIPMENT_STATUS_MAP(X)
#undef X
};
struct str shipment_status_name(enum shipment_status s);

struct shipment {
    enum shipment_status status;
    bool is_ours, is_confirmed;
    struct order_id order_id;
    enum flow_id flow;
    struct str tracking_number; /* own; shipment_deinit */
    int64_t created_at_ms, dispatched_at_ms, delivered_at_ms;
    uint64_t sequence;
};
void shipment_deinit(struct shipment *s);
void shipment_apply(struct shipment *s, const struct event *e);

/* What a message asks of Shipments. */
enum shipment_task {
    SHIPMENT_TASK_NONE,
    SHIPMENT_TASK_CREATE,
    SHIPMENT_TASK_CONFIRM, /* the one that it names */
    SHIPMENT_TASK_CANCEL   /* the one that it names */
};
enum shipment_task shipment_task_of(const struct event *m);

enum shipment_outcome {
    SHIPMENT_CHANGED,
    SHIPMENT_HOLDS,
    SHIPMENT_NOT_CONFIRMED, /* 409 not_confirmed / dead letter */
    SHIPMENT_ILLEGAL        /* 409 illegal_state / dead letter */
};
/* What a command or an outside message may do now; events are added on CHANGED only. */
enum shipment_outcome shipment_create(const struct shipment *s, enum flow_id flow,
                                      struct order_id order, const struct shipment_id *id,
                                      struct str tracking_number, struct event_list *out);
enum shipment_outcome shipment_dispatch(const struct shipment *s, const struct shipment_id *id,
                                        int64_t now_ms, struct event_list *out);
/* Delivered without dispatched counts as both. */
enum shipment_outcome shipment_deliver(const struct shipment *s, const struct shipment_id *id,
                                       int64_t now_ms, struct event_list *out);
/* Legal before dispatch only. */
enum shipment_outcome shipment_cancel(const struct shipment *s, const struct shipment_id *id,
                                      struct event_list *out);
#endif
