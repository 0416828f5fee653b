#include "orderly/domain/money.h"
#include "orderly/base/check.h"

const char *money_parse_text(enum money_parse p)
{
    static const char *const texts[] = {
#define X(name, text) [MONEY_##name] = text,
        MONEY_PARSE_MAP(X)
#undef X
    };

    REQUIRE((size_t)p < ARRAY_LEN(texts));
    return texts[p];
}

static size_t money_digits_from(struct str text, size_t i)
{
    while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9')
        i++;
    return i;
}

enum money_parse money_from_text(struct str text, struct currency c, int64_t *minor)
{
    unsigned digits = currency_digits(c);
    bool is_negative = text.n > 0 && text.p[0] == '-';
    size_t start = is_negative ? 1 : 0;
    size_t point = money_digits_from(text, start), end = point;
    bool is_too_large = false, is_too_precise = false;
    int64_t sum = 0;

    /* The grammar of RFC 8259 §6 first, so that what is no number is never called a wrong one. */
    if (point == start || (text.p[start] == '0' && point > start + 1))
        return MONEY_NOT_A_NUMBER;
    if (point < text.n && text.p[point] == '.') {
        end = money_digits_from(text, point + 1);
        if (end == point + 1)
            return MONEY_NOT_A_NUMBER;
    }
    if (end < text.n) {
        size_t at = end + 1;

        if (text.p[end] != 'e' && text.p[end] != 'E')
            return MONEY_NOT_A_NUMBER;
        if (at < text.n && (text.p[at] == '+' || text.p[at] == '-'))
            at++;
        if (at == text.n || money_digits_from(text, at) != text.n)
            return MONEY_NOT_A_NUMBER;
    }
    if (is_negative)
        return MONEY_NEGATIVE;
    if (end < text.n)
        return MONEY_EXPONENT;

    for (size_t i = start; i < end; i++) {
        if (i == point)
            continue;
        if (i > point + digits) { /* beyond the currency's digits only zeros may follow */
            is_too_precise |= text.p[i] != '0';
            continue;
        }
        if (!is_too_large)
            sum = sum * 10 + (text.p[i] - '0');
        is_too_large |= sum > MONEY_MAX_MINOR;
    }
    for (size_t i = end > point ? end - point - 1 : 0; i < digits && !is_too_large; i++) {
        sum *= 10;
        is_too_large = sum > MONEY_MAX_MINOR;
    }
    if (is_too_precise)
        return MONEY_TOO_PRECISE;
    if (is_too_large)
        return MONEY_TOO_LARGE;
    *minor = sum;
    return MONEY_OK;
}

size_t money_to_text(int64_t minor, struct currency c, char out[MONEY_TEXT_MAX])
{
    unsigned digits = currency_digits(c), n = 0;
    uint64_t rest = minor < 0 ? -(uint64_t)minor : (uint64_t)minor;
    char reversed[MONEY_TEXT_MAX];

    do {
        if (n == digits && digits > 0)
            reversed[n++] = '.';
        reversed[n++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest || n <= digits); /* at least one digit stands before the point */
    if (minor < 0)
        reversed[n++] = '-';
    for (unsigned i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    return n;
}

static bool money_is_within(int64_t minor)
{
    return minor >= -MONEY_MAX_MINOR && minor <= MONEY_MAX_MINOR;
}

bool money_add(int64_t a, int64_t b, int64_t *out)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum) || !money_is_within(sum))
        return false;
    *out = sum;
    return true;
}

bool money_mul(int64_t a, int64_t n, int64_t *out)
{
    int64_t product;

    if (__builtin_mul_overflow(a, n, &product) || !money_is_within(product))
        return false;
    *out = product;
    return true;
}

int64_t money_percent(int64_t amount, uint32_t percent_hundredths)
{
    /* Split, so that the product of 10^12 and any 32-bit share stays within 64 bits. */
    int64_t whole = amount / 10000, part = amount % 10000;

    REQUIRE(amount >= 0);
    REQUIRE(amount <= MONEY_MAX_MINOR);
    return whole * (int64_t)percent_hundredths +
           (part * (int64_t)percent_hundredths + 5000) / 10000;
}
