/* Prices of an order's lines: the catalogue's price wins, discounts are configuration, half up. */
#ifndef ORDERLY_DOMAIN_PRICING_H
#define ORDERLY_DOMAIN_PRICING_H
#include "orderly/domain/event.h"

struct discount_rules {               /* all zero: off */
    uint32_t line_percent_hundredths; /* 1000 = 10 % off a line … */
    int64_t line_from_quantity;       /* … from this many pieces */
    int64_t order_amount;             /* then this off the order … */
    int64_t order_above;              /* … whose subtotal after line discounts is above this */
    struct currency order_currency;   /* … and in this currency, once */
};

/* lines: quantity and price set, discount set by this; discounts: room for 2. The order's total is
 * never negative. subtotal is the sum of quantity * price before discounts; total = subtotal - sum
 * of discounts. False: a line or a sum is beyond MONEY_MAX_MINOR. *bad_line: which line, or n_lines
 * for a sum. Texts of discounts are static or in `arena`. */
struct arena;
bool pricing_apply(const struct discount_rules *rules, struct currency currency,
                   struct order_line *lines, unsigned n_lines, struct discount discounts[2],
                   unsigned *n_discounts, int64_t *subtotal, int64_t *total, unsigned *bad_line,
                   struct arena *arena);
#endif
