#include "orderly/domain/pricing.h"
#include "orderly/base/arena.h"
#include "orderly/base/check.h"

static struct str line_discount_text(const struct discount_rules *r, struct arena *arena)
{
    unsigned whole = r->line_percent_hundredths / 100, part = r->line_percent_hundredths % 100;

    if (part == 0)
        return arena_printf(arena, "%u %% off a line of %lld or more", whole,
                            (long long)r->line_from_quantity);
    if (part % 10 == 0)
        return arena_printf(arena, "%u.%u %% off a line of %lld or more", whole, part / 10,
                            (long long)r->line_from_quantity);
    return arena_printf(arena, "%u.%02u %% off a line of %lld or more", whole, part,
                        (long long)r->line_from_quantity);
}

static struct str order_discount_text(const struct discount_rules *r, struct arena *arena)
{
    char off[MONEY_TEXT_MAX], above[MONEY_TEXT_MAX];
    size_t n_off = money_to_text(r->order_amount, r->order_currency, off);
    size_t n_above = money_to_text(r->order_above, r->order_currency, above);

    return arena_printf(arena, "%.*s %s off above %.*s %s", (int)n_off, off, r->order_currency.code,
                        (int)n_above, above, r->order_currency.code);
}

/* Never more than the line costs. */
static int64_t line_discount(const struct discount_rules *r, int64_t gross, int64_t quantity)
{
    int64_t off;

    if (r->line_percent_hundredths == 0 || quantity < r->line_from_quantity)
        return 0;
    off = money_percent(gross, r->line_percent_hundredths);
    return off < gross ? off : gross;
}

bool pricing_apply(const struct discount_rules *rules, struct currency currency,
                   struct order_line *lines, unsigned n_lines, struct discount discounts[2],
                   unsigned *n_discounts, int64_t *subtotal, int64_t *total, unsigned *bad_line,
                   struct arena *arena)
{
    int64_t sum = 0, off_lines = 0, rest;
    unsigned n = 0;

    for (unsigned i = 0; i < n_lines; i++) {
        int64_t gross;

        REQUIRE(lines[i].price >= 0);
        REQUIRE(lines[i].quantity > 0);
        if (!money_mul(lines[i].price, lines[i].quantity, &gross)) {
            *bad_line = i;
            return false;
        }
        if (!money_add(sum, gross, &sum)) {
            *bad_line = n_lines;
            return false;
        }
        lines[i].discount = line_discount(rules, gross, lines[i].quantity);
        off_lines += lines[i].discount; /* at most the sum, so it stays within bounds */
    }
    rest = sum - off_lines;
    if (off_lines > 0)
        discounts[n++] = (struct discount){
            .code = STR("line_percent"),
            .description = line_discount_text(rules, arena),
            .amount = off_lines,
        };
    if (rules->order_amount > 0 && currency_eq(rules->order_currency, currency) &&
        rest > rules->order_above) {
        int64_t off = rules->order_amount < rest ? rules->order_amount : rest;

        discounts[n++] = (struct discount){
            .code = STR("order_amount"),
            .description = order_discount_text(rules, arena),
            .amount = off,
        };
        rest -= off;
    }
    *n_discounts = n;
    *subtotal = sum;
    *total = rest;
    return true;
}
