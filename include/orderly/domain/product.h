/* The catalogue's entry of one product, and its stock. onHand = reserved + available, always. */
#ifndef ORDERLY_DOMAIN_PRODUCT_H
#define ORDERLY_DOMAIN_PRODUCT_H
#include "orderly/domain/event.h"

#define STOCK_MAX INT64_C(1000000000000) /* quantities are 0..10^12 */
#define PRODUCT_NAME_MAX 200             /* code points */
#define PRODUCT_DESCRIPTION_MAX 1000

struct product {
    struct sku sku;
    struct str name, description; /* own; product_deinit */
    bool has_price;
    int64_t price;
    struct currency currency;
    uint64_t sequence; /* of its last event */
};
void product_deinit(struct product *p);
struct product product_copy(const struct product *p); /* with texts of its own */
/* ProductAdded, ProductChanged (full new values of name, description, price, currency). Stock is
 * not part of it. */
void product_apply(struct product *p, const struct event *e);

struct stock {
    int64_t on_hand, reserved;
};
static inline int64_t stock_available(const struct stock *s)
{
    return s->on_hand - s->reserved;
}
/* The effect of one event on one product's stock: StockAdjusted / ProductAdded add stock_delta to
 * on_hand; *Reserved adds to reserved; *Released takes from reserved; StockTaken from both. Only
 * events made by the built-in inventory count, which the caller knows. */
void stock_apply(struct stock *s, enum event_type type, int64_t quantity);
#endif
