#include "request.h"
#include "orderly/base/check.h"
#include <string.h>

static const char SLOT[] = "{n}";
enum { SLOT_N = sizeof(SLOT) - 1 };

/* Adds text with every slot widened to its digits; false when there are too many slots. */
static bool add_with_slots(struct request_template *t, const char *text, size_t n)
{
    const char *end = text + n;

    while (text < end) {
        const char *slot = memmem(text, (size_t)(end - text), SLOT, SLOT_N);
        if (!slot) {
            buf_add(&t->bytes, text, (size_t)(end - text));
            break;
        }
        if (t->slots_n == REQUEST_SLOTS_MAX)
            return false;
        buf_add(&t->bytes, text, (size_t)(slot - text));
        t->slots[t->slots_n++] = t->bytes.n;
        buf_printf(&t->bytes, "%0*d", REQUEST_NUMBER_DIGITS, 0);
        text = slot + SLOT_N;
    }
    return true;
}

static size_t length_with_slots(const char *text, size_t n)
{
    const char *at = text, *end = text + n, *slot;
    size_t length = n;

    while ((slot = memmem(at, (size_t)(end - at), SLOT, SLOT_N)) != NULL) {
        length += REQUEST_NUMBER_DIGITS - SLOT_N;
        at = slot + SLOT_N;
    }
    return length;
}

static bool has_line_end(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

const char *request_template_init(struct request_template *t, const struct request_parts *parts)
{
    bool fits;

    memset(t, 0, sizeof(*t));
    if (has_line_end(parts->path) || has_line_end(parts->method))
        return "a method or path may not hold a line end";
    for (size_t i = 0; i < parts->headers_n; i++) {
        if (has_line_end(parts->headers[i]) || !strchr(parts->headers[i], ':'))
            return "a header is one line 'Name: value'";
    }
    buf_printf(&t->bytes, "%s ", parts->method);
    fits = add_with_slots(t, parts->path, strlen(parts->path));
    buf_printf(&t->bytes, " HTTP/1.1\r\nHost: %s\r\n", parts->host);
    for (size_t i = 0; i < parts->headers_n; i++) {
        fits = fits && add_with_slots(t, parts->headers[i], strlen(parts->headers[i]));
        buf_add(&t->bytes, "\r\n", 2);
    }
    if (parts->body)
        buf_printf(&t->bytes, "Content-Length: %zu\r\n",
                   length_with_slots(parts->body, parts->body_n));
    buf_add(&t->bytes, "\r\n", 2);
    if (parts->body)
        fits = fits && add_with_slots(t, parts->body, parts->body_n);
    if (!fits) {
        request_template_deinit(t);
        return "too many {n} in the request";
    }
    return NULL;
}

void request_template_deinit(struct request_template *t)
{
    buf_deinit(&t->bytes);
}

void request_template_stamp(const struct request_template *t, char *copy, uint64_t number)
{
    for (size_t i = 0; i < t->slots_n; i++) {
        char *digits = copy + t->slots[i];
        uint64_t n = number;
        for (int d = REQUEST_NUMBER_DIGITS - 1; d >= 0; d--) {
            digits[d] = (char)('0' + n % 10);
            n /= 10;
        }
    }
}
