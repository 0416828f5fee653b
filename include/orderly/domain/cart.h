/* The cart: at most 20 different products, 1 to 10 pieces each; frozen once converted. */
#ifndef ORDERLY_DOMAIN_CART_H
#define ORDERLY_DOMAIN_CART_H
#include "orderly/domain/event.h"

#define CART_LINES_MAX 20
#define CART_QUANTITY_MAX 10

struct cart {
    struct cart_id id;
    struct customer_id customer_id;
    bool is_converted;
    struct order_id order_id; /* nil until checked out */
    uint64_t sequence;
    int64_t created_at_ms, updated_at_ms;
    unsigned n_lines;
    struct stock_line lines[CART_LINES_MAX]; /* in order of first adding */
};

#define CART_OUTCOME_MAP(X)                                                                        \
    X(CHANGED)                                                                                     \
    X(HOLDS)           /* already so; nothing added */                                             \
    X(CONVERTED)       /* 409 cart_converted */                                                    \
    X(EMPTY)           /* 400 empty_cart */                                                        \
    X(TOO_MANY_LINES)  /* 400: more than 20 products */                                            \
    X(TOO_MANY_PIECES) /* 400: more than 10 pieces of one */                                       \
    X(NO_SUCH_LINE)    /* 404 */
enum cart_outcome {
#define X(name) CART_##name,
    CART_OUTCOME_MAP(X)
#undef X
};

void cart_create(struct cart_id id, const struct customer_id *customer, struct event_list *out);
/* quantity 1..10, checked by the caller; adding again adds up. */
enum cart_outcome cart_add_item(const struct cart *c, const struct sku *sku, int64_t quantity,
                                struct event_list *out);
enum cart_outcome cart_set_item(const struct cart *c, const struct sku *sku, int64_t quantity,
                                struct event_list *out);
enum cart_outcome cart_remove_item(const struct cart *c, const struct sku *sku,
                                   struct event_list *out);
/* order nil: frozen by POST /carts/{id}/convert; else by a checkout, which may follow a convert:
 * then CartConverted is emitted again, with the order's id. A cart that has an order HOLDS. */
enum cart_outcome cart_convert(const struct cart *c, struct order_id order, struct event_list *out);
void cart_apply(struct cart *c, const struct event *e);
#endif
