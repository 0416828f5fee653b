/* Money: an amount in integer minor units beside its ISO 4217 currency. Never a double. */
#ifndef ORDERLY_DOMAIN_MONEY_H
#define ORDERLY_DOMAIN_MONEY_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define MONEY_MAX_MINOR INT64_C(1000000000000) /* a sum beyond it is refused */
#define MONEY_TEXT_MAX 24

struct currency {
    char code[4]; /* upper case and NUL; "" means none */
};

/* Active ISO 4217 codes only (list of 2024); false otherwise. Lower case is not accepted. */
bool currency_parse(struct str text, struct currency *out);
unsigned currency_digits(struct currency c); /* 0, 2, 3 or 4 */
static inline bool currency_eq(struct currency a, struct currency b)
{
    return memcmp(a.code, b.code, sizeof(a.code)) == 0;
}
static inline bool currency_is_none(struct currency c)
{
    return c.code[0] == 0;
}
static inline struct str currency_str(const struct currency *c)
{
    return (struct str){ c->code, strlen(c->code) };
}

/* outcome of reading a JSON number's text */
#define MONEY_PARSE_MAP(X)                                                                         \
    X(OK, "")                                                                                      \
    X(NOT_A_NUMBER, "must be a number")                                                            \
    X(NEGATIVE, "must not be negative")                                                            \
    X(EXPONENT, "must not have an exponent")                                                       \
    X(TOO_PRECISE, "has more digits than its currency")                                            \
    X(TOO_LARGE, "is too large")
enum money_parse {
#define X(name, text) MONEY_##name,
    MONEY_PARSE_MAP(X)
#undef X
};
const char *money_parse_text(enum money_parse p);
/* `5`, `5.0`, `5.00`, `5.0000` are one USD amount; more non-zero digits than the currency has are
 * TOO_PRECISE; beyond MONEY_MAX_MINOR TOO_LARGE. text is a JSON number's text. */
enum money_parse money_from_text(struct str text, struct currency c, int64_t *minor);
/* Prints exactly the currency's digits (39.98; JPY 500); returns the length, no NUL. */
size_t money_to_text(int64_t minor, struct currency c, char out[MONEY_TEXT_MAX]);

/* False if the result is beyond ±MONEY_MAX_MINOR; out is then untouched. */
bool money_add(int64_t a, int64_t b, int64_t *out);
bool money_mul(int64_t a, int64_t n, int64_t *out);
/* amount * percent / 100 where percent is in hundredths (1000 = 10 %), half up. amount >= 0. */
int64_t money_percent(int64_t amount, uint32_t percent_hundredths);
#endif
