/* The order in memory: its body, its copies, its bytes. */
#include "order_private.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

struct order *order_create(void)
{
    struct order *o = mem_zalloc(sizeof(*o));

    o->effects = o->effects_inline;
    o->effects_cap = ORDER_EFFECTS_INLINE;
    return o;
}

static struct str text_copy(struct str s)
{
    char *p;

    if (s.n == 0)
        return STR_NONE;
    p = mem_alloc(s.n);
    memcpy(p, s.p, s.n);
    return (struct str){ p, s.n };
}

static void text_free(struct str s)
{
    mem_free((char *)s.p);
}

struct order *order_clone(const struct order *o)
{
    struct order *c = mem_alloc(sizeof(*c));

    *c = *o;
    if (c->body)
        c->body->refs++;
    if (o->effects == o->effects_inline) {
        c->effects = c->effects_inline;
    } else {
        c->effects = mem_alloc(o->effects_cap * sizeof(*c->effects));
        memcpy(c->effects, o->effects, o->n_effects * sizeof(*c->effects));
    }
    c->tracking_number = text_copy(o->tracking_number);
    c->cancellation_reason = text_copy(o->cancellation_reason);
    c->rejection_reason = text_copy(o->rejection_reason);
    c->payment_failure_reason = text_copy(o->payment_failure_reason);
    return c;
}

void order_destroy(struct order *o)
{
    if (!o)
        return;
    if (o->body && --o->body->refs == 0)
        mem_free(o->body);
    if (o->effects != o->effects_inline)
        mem_free(o->effects);
    text_free(o->tracking_number);
    text_free(o->cancellation_reason);
    text_free(o->rejection_reason);
    text_free(o->payment_failure_reason);
    mem_free(o);
}

size_t order_memory(const struct order *o)
{
    size_t n = sizeof(*o);

    if (o->body)
        n += o->body->size;
    if (o->effects != o->effects_inline)
        n += o->effects_cap * sizeof(*o->effects);
    n += o->tracking_number.n + o->cancellation_reason.n;
    n += o->rejection_reason.n + o->payment_failure_reason.n;
    return n;
}

/* Cut to what an order may hold, between two characters: a reason from outside may be longer. */
void order_set_text(struct str *text, struct str value)
{
    size_t max = (size_t)ORDER_REASON_MAX * 4;

    if (value.n > max) {
        value.n = max;
        while (value.n > 0 && ((unsigned char)value.p[value.n] & 0xc0) == 0x80)
            value.n--;
    }
    text_free(*text);
    *text = text_copy(value);
}

struct order_effect *order_add_effect(struct order *o)
{
    struct order_effect *effect;

    if (o->n_effects == o->effects_cap) {
        unsigned cap = o->effects_cap * 2;
        bool is_inline = o->effects == o->effects_inline;
        struct order_effect *more = mem_realloc(is_inline ? NULL : o->effects, cap * sizeof(*more));

        if (is_inline)
            memcpy(more, o->effects_inline, sizeof(o->effects_inline));
        o->effects = more;
        o->effects_cap = cap;
    }
    effect = &o->effects[o->n_effects++];
    memset(effect, 0, sizeof(*effect));
    return effect;
}

/* ---- the body: one block ---------------------------------------------------------------------- */

static size_t body_texts_size(const struct payload *p, unsigned n_lines, unsigned n_discounts)
{
    size_t n = 0;

    for (unsigned i = 0; i < n_lines; i++)
        n += p->lines[i].name.n + p->lines[i].description.n;
    for (unsigned i = 0; i < n_discounts; i++)
        n += p->discounts[i].code.n + p->discounts[i].description.n;
    if (p->address) {
#define X(member, json, alias, min, max, required) n += p->address->member.n;
        ADDRESS_FIELD_MAP(X)
#undef X
    }
    return n;
}

static struct str body_text(char **at, struct str s)
{
    char *p = *at;

    if (s.n == 0)
        return STR_NONE;
    memcpy(p, s.p, s.n);
    *at += s.n;
    return (struct str){ p, s.n };
}

struct order_body *order_body_create(const struct event *placed)
{
    const struct payload *p = &placed->p;
    unsigned n_lines = p->n_lines < RESERVATION_LINES_MAX ? p->n_lines : RESERVATION_LINES_MAX;
    unsigned n_discounts =
        p->n_discounts < ORDER_DISCOUNTS_MAX ? p->n_discounts : ORDER_DISCOUNTS_MAX;
    size_t lines_at = sizeof(struct order_body);
    size_t stock_at = lines_at + n_lines * sizeof(struct order_line);
    size_t discounts_at = stock_at + n_lines * sizeof(struct stock_line);
    size_t texts_at = discounts_at + n_discounts * sizeof(struct discount);
    size_t size = texts_at + body_texts_size(p, n_lines, n_discounts);
    char *block = mem_alloc(size), *text = block + texts_at;
    struct order_body *b = (void *)block;
    struct order_line *lines = (void *)(block + lines_at);
    struct stock_line *stock_lines = (void *)(block + stock_at);
    struct discount *discounts = (void *)(block + discounts_at);

    for (unsigned i = 0; i < n_lines; i++) {
        lines[i] = p->lines[i];
        lines[i].name = body_text(&text, p->lines[i].name);
        lines[i].description = body_text(&text, p->lines[i].description);
    }
    for (unsigned i = 0; i < n_discounts; i++) {
        discounts[i].code = body_text(&text, p->discounts[i].code);
        discounts[i].description = body_text(&text, p->discounts[i].description);
        discounts[i].amount = p->discounts[i].amount;
    }
    *b = (struct order_body){
        .refs = 1,
        .id = p->order_id,
        .flow = p->flow,
        .table = flow_of(p->flow),
        .flow_version = p->flow_version ? p->flow_version : flow_of(p->flow)->version,
        .placed_position = placed->position,
        .customer_id = p->customer_id,
        .cart_id = p->cart_id,
        .n_lines = n_lines,
        .lines = lines,
        .n_discounts = n_discounts,
        .discounts = discounts,
        .n_stock_lines = reservation_add_up(lines, n_lines, stock_lines),
        .stock_lines = stock_lines,
        .subtotal = p->subtotal,
        .total = p->total,
        .currency = p->currency,
        .created_at_ms = placed->occurred_at_ms,
        .payment_deadline_ms = p->payment_deadline_ms,
        .size = size,
    };
    if (p->address) {
#define X(member, json, alias, min, max, required)                                                 \
    b->address.member = body_text(&text, p->address->member);
        ADDRESS_FIELD_MAP(X)
#undef X
    }
    ENSURE(text == block + size);
    return b;
}
