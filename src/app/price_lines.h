/* From requested lines to priced ones: the catalogue's price wins. */
#ifndef ORDERLY_APP_PRICE_LINES_H
#define ORDERLY_APP_PRICE_LINES_H
#include "app_private.h"

struct price_lines {
    /* Set by the caller. */
    struct app *app;
    struct arena *arena;
    const struct requested_line *asked;
    unsigned n;
    struct str asked_currency; /* empty: not named */
    bool is_cart;              /* pointers say productId, and every product must be known */

    /* Result. */
    struct order_line *lines;
    struct currency currency;
    struct discount discounts[2];
    unsigned n_discounts;
    int64_t subtotal, total;

    /* Own. */
    struct fault *faults, *unknown, *changed;
    unsigned n_faults, n_unknown, n_changed;
};

/* False: r says what is wrong (validation before unknown_product before price_changed). */
MUST_CHECK bool price_lines(struct price_lines *pl, enum flow_id flow, struct reply *r);
#endif
