/* What the files of the order share. */
#ifndef ORDERLY_SRC_DOMAIN_ORDER_PRIVATE_H
#define ORDERLY_SRC_DOMAIN_ORDER_PRIVATE_H
#include "orderly/domain/order.h"
#include "orderly/domain/reservation.h"

/* An order has at most one payment, one reservation and one shipment of its own. */
#define ORDER_OWN_EFFECTS_MAX 3

#define ORDER_DISCOUNTS_MAX 16 /* pricing makes two */

/* order_state.c: memory. */
struct order_body *order_body_create(const struct event *placed); /* the event must name a flow */
void order_set_text(struct str *text, struct str value);
struct order_effect *order_add_effect(struct order *o); /* zeroed */

/* order_decide.c: what decisions share. */
const struct flow *order_flow(const struct order *o);

/* Adds an event of this order: its id and flow are set. */
struct event *order_emit(const struct order *o, enum event_type type, struct event_list *out);
/* Adds the event of a row, with everything in it that the order knows by itself. */
struct event *order_emit_row(const struct order *o, const struct flow_row *row,
                             struct event_list *out);
/* The same for the end of an order, with its reason. */
enum order_outcome order_end(const struct order *o, const struct flow_row *row, struct str reason,
                             struct event_list *out);

/* The payment, reservation or shipment that moved the order; NULL: none did. */
const struct order_effect *order_own_effect(const struct order *o, enum effect_kind kind);
#endif
