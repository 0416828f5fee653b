/* The handlers that the route table names. Each owes one answer. */
#ifndef ORDERLY_INFRA_API_HANDLERS_H
#define ORDERLY_INFRA_API_HANDLERS_H
struct call;

/* carts.c */
void carts_create(struct call *c);
void carts_get(struct call *c);
void carts_add_item(struct call *c);
void carts_set_item(struct call *c);
void carts_remove_item(struct call *c);
void carts_convert(struct call *c);

/* orders.c */
void orders_checkout(struct call *c);
void orders_place(struct call *c);
void orders_pay(struct call *c);
void orders_mark_paid(struct call *c);
void orders_cancel(struct call *c);
void orders_ready(struct call *c);
void orders_complete(struct call *c);

/* order_reads.c */
void orders_get(struct call *c);

/* explain.c */
void orders_explain(struct call *c);

/* lists.c */
void orders_list(struct call *c);
void products_list(struct call *c);
void events_list(struct call *c);
void events_get(struct call *c);
void messages_list(struct call *c);
void dead_letters_list_all(struct call *c);
void dead_letters_get_one(struct call *c);

/* streams.c */
void events_stream(struct call *c);
void messages_stream(struct call *c);

/* dead_letters.c */
void dead_letters_retry(struct call *c);
void dead_letters_discard(struct call *c);
void dead_letters_retry_many(struct call *c);

/* products.c */
void products_add(struct call *c);
void products_get(struct call *c);
void products_change(struct call *c);

/* shipments.c */
void shipments_get(struct call *c);
void shipments_dispatch(struct call *c);
void shipments_deliver(struct call *c);

/* messages.c */
void messages_receive(struct call *c);
void messages_receive_events(struct call *c);

/* simulators.c */
void simulators_get(struct call *c);
void simulators_put(struct call *c);

/* health.c */
void health_root(struct call *c);
void health_live(struct call *c);
void health_ready(struct call *c);
void health_metrics(struct call *c);
#endif
