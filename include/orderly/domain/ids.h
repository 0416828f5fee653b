/* Identities. Every kind is a struct of its own, so mixing them does not compile.
 *
 * Ours are UUIDv7 (orders, carts, events, dead letters) or a word and the order's UUID
 * (`payment-…`, `reservation-…`, `shipment-…`: one per order by construction). Ids from outside are
 * 1..64 of [A-Za-z0-9._:-]. */
#ifndef ORDERLY_DOMAIN_IDS_H
#define ORDERLY_DOMAIN_IDS_H
#include "orderly/base/str.h"
#include "orderly/base/uuid.h"
#include <stdbool.h>
#include <stdint.h>

#define TEXT_ID_MAX 64
#define SKU_MAX 50

struct text_id {
    uint8_t n; /* 0: none */
    char s[TEXT_ID_MAX];
};

struct order_id {
    struct uuid u;
};
struct cart_id {
    struct uuid u;
};
struct event_id {
    struct uuid u;
};
struct dead_letter_id {
    struct uuid u;
};
struct payment_id {
    struct text_id t;
};
struct reservation_id {
    struct text_id t;
};
struct shipment_id {
    struct text_id t;
};
struct invoice_id {
    struct text_id t;
};
struct customer_id {
    struct text_id t;
};
struct sku { /* also called productId on the wire */
    uint8_t n;
    char s[SKU_MAX];
};

/* The lane key of everything that one order, cart or product causes. An order's and a cart's lane
 * is its id; a product's, and an order id from outside that is no UUID, is a digest of the text. */
struct lane_id {
    struct uuid u;
};

/* 1..64 of [A-Za-z0-9._:-]; false otherwise. */
bool text_id_parse(struct str text, struct text_id *out);
static inline struct str text_id_str(const struct text_id *t)
{
    return (struct str){ t->s, t->n };
}
static inline bool text_id_eq(const struct text_id *a, const struct text_id *b)
{
    return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}
/* word + '-' + the UUID's text. */
struct text_id text_id_of_word(const char *word, struct uuid u);

/* Trims blanks, raises to upper case, then 1..50 of [A-Z0-9._-]; false otherwise. */
bool sku_parse(struct str text, struct sku *out);
static inline struct str sku_str(const struct sku *s)
{
    return (struct str){ s->s, s->n };
}
static inline bool sku_eq(const struct sku *a, const struct sku *b)
{
    return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
}

static inline struct lane_id lane_of_order(struct order_id id)
{
    return (struct lane_id){ id.u };
}
static inline struct lane_id lane_of_cart(struct cart_id id)
{
    return (struct lane_id){ id.u };
}
#endif
