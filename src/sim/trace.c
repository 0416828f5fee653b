#include "trace.h"
#include "orderly/base/bytes.h"
#include "orderly/base/mem.h"
#include <stdarg.h>
#include <stdio.h>

#define LINE_MAX_BYTES 600

void trace_init(struct trace *t, bool tells, int64_t started_us)
{
    memset(t, 0, sizeof(*t));
    t->tells = tells;
    t->started_us = started_us;
}

void trace_deinit(struct trace *t)
{
    mem_free(t->lines);
    buf_deinit(&t->text);
}

static void trace_fold(struct trace *t)
{
    const struct str parts[] = { { (const char *)t->sum.b, sizeof(t->sum.b) },
                                 { (const char *)t->block, t->n } };

    digest16_of(&t->sum, parts, 2);
    t->n = 0;
}

static void trace_add(struct trace *t, const void *p, size_t n)
{
    const uint8_t *at = p;

    while (n > 0) {
        size_t k = TRACE_BLOCK - t->n < n ? TRACE_BLOCK - t->n : n;

        memcpy(t->block + t->n, at, k);
        t->n += k;
        at += k;
        n -= k;
        if (t->n == TRACE_BLOCK)
            trace_fold(t);
    }
}

void trace_step(struct trace *t, char what, uint64_t a, uint64_t b, uint64_t c)
{
    char bytes[1 + 3 * 8] = { what };

    t->n_steps++;
    bytes_put_u64(bytes + 1, a);
    bytes_put_u64(bytes + 9, b);
    bytes_put_u64(bytes + 17, c);
    trace_add(t, bytes, sizeof(bytes));
}

void trace_bytes(struct trace *t, struct str bytes)
{
    char n[8];

    bytes_put_u64(n, bytes.n);
    trace_add(t, n, sizeof(n));
    trace_add(t, bytes.p, bytes.n);
}

struct digest16 trace_sum(struct trace *t)
{
    trace_fold(t);
    return t->sum;
}

/* ---- lines ----------------------------------------------------------------------------------- */

void trace_tell(struct trace *t, int64_t at_us, const struct uuid *order, int plan, const char *fmt,
                ...)
{
    char text[LINE_MAX_BYTES];
    va_list args;
    int n;

    if (!t->tells)
        return;
    va_start(args, fmt);
    n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < 0)
        return;
    if ((size_t)n >= sizeof(text))
        n = sizeof(text) - 1;
    if (t->n_lines == t->lines_cap) {
        t->lines_cap = t->lines_cap ? 2 * t->lines_cap : 1024;
        t->lines = mem_realloc(t->lines, t->lines_cap * sizeof(*t->lines));
    }
    t->lines[t->n_lines++] = (struct trace_line){
        .at_us = at_us,
        .order = order ? *order : (struct uuid){ .b = { 0 } },
        .plan = plan,
        .from = t->text.n,
        .n = (size_t)n,
    };
    buf_add(&t->text, text, (size_t)n);
}

static bool line_is_about(const struct trace_line *l, const struct uuid *order, int plan_of)
{
    if (!order)
        return true;
    if (!uuid_is_nil(l->order))
        return memcmp(&l->order, order, sizeof(*order)) == 0;
    return l->plan == TRACE_ALL || (plan_of >= 0 && l->plan == plan_of);
}

void trace_print(const struct trace *t, const struct uuid *order, int plan_of, size_t lines_max,
                 struct buf *out)
{
    size_t n = 0, skip;

    for (size_t i = 0; i < t->n_lines; i++)
        n += line_is_about(&t->lines[i], order, plan_of);
    skip = n > lines_max ? n - lines_max : 0;
    if (skip > 0)
        buf_printf(out, "  … %zu lines before these\n", skip);
    for (size_t i = 0; i < t->n_lines; i++) {
        const struct trace_line *l = &t->lines[i];
        long long us = (long long)(l->at_us - t->started_us);

        if (!line_is_about(l, order, plan_of))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        buf_printf(out, "  [%5lld.%06lld] %.*s\n", us / 1000000, us % 1000000, (int)l->n,
                   t->text.p + l->from);
    }
}
