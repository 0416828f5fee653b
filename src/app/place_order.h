/* What placing an order directly and checking out a cart share. */
#ifndef ORDERLY_APP_PLACE_ORDER_H
#define ORDERLY_APP_PLACE_ORDER_H
#include "app_private.h"
#include "price_lines.h"

/* True: there is no room for new orders, and the command has been answered. */
bool order_is_refused(struct command *c);
void order_placing_fill(struct order_placing *p, const struct price_lines *pl);
/* Decides and appends OrderPlaced in c->append; the order as it will be. */
struct order *order_append_placed(struct command *c, const struct order_placing *placing,
                                  struct event_list *events);
#endif
