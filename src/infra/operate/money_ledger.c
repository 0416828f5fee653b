#include "money_ledger.h"
#include "orderly/base/check.h"
#include "orderly/base/mem.h"

#define LINES_FIRST 4

void money_ledger_init(struct money_ledger *l, int64_t from_ms, int64_t to_ms)
{
    *l = (struct money_ledger){ .from_ms = from_ms, .to_ms = to_ms, .order = order_create() };
}

void money_ledger_deinit(struct money_ledger *l)
{
    order_destroy(l->order);
    mem_free(l->lines);
}

void money_ledger_reset(struct money_ledger *l)
{
    l->n = 0;
    if (!l->order->body)
        return;
    order_destroy(l->order);
    l->order = order_create();
}

/* ---- lines ------------------------------------------------------------------------------------ */

static struct money_line *line_of(struct money_ledger *l, const struct payment_id *id,
                                  struct currency currency)
{
    struct money_line *line;

    for (unsigned i = 0; i < l->n; i++) {
        line = &l->lines[i];
        if (text_id_eq(&line->payment_id, &id->t) && currency_eq(line->currency, currency))
            return line;
    }
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : LINES_FIRST;
        l->lines = mem_realloc(l->lines, l->cap * sizeof(*l->lines));
    }
    line = &l->lines[l->n++];
    *line = (struct money_line){ .payment_id = id->t, .currency = currency };
    return line;
}

/* The line that the payment was charged on; NULL: it was not. */
static struct money_line *charged_line(struct money_ledger *l, const struct payment_id *id)
{
    for (unsigned i = 0; i < l->n; i++) {
        if (l->lines[i].is_charged && text_id_eq(&l->lines[i].payment_id, &id->t))
            return &l->lines[i];
    }
    return NULL;
}

static bool is_in_window(const struct money_ledger *l, const struct event *e)
{
    return e->occurred_at_ms >= l->from_ms && e->occurred_at_ms < l->to_ms;
}

static void line_add(const struct money_ledger *l, const struct event *e, struct money_line *line,
                     int64_t *sum, int64_t amount)
{
    if (!is_in_window(l, e))
        return;
    *sum += amount; /* a payment has few of them, none beyond MONEY_MAX_MINOR */
    line->is_touched = true;
}

/* ---- events ----------------------------------------------------------------------------------- */

static void charge(struct money_ledger *l, const struct event *e)
{
    struct money_line *line;

    if (charged_line(l, &e->p.payment_id))
        return;
    line = line_of(l, &e->p.payment_id, e->p.currency);
    line->is_charged = true;
    line->amount = e->p.amount;
    line_add(l, e, line, &line->sums.charged, e->p.amount);
}

static bool is_whole_refund(const struct money_line *charged, const struct payload *p)
{
    return !charged ||
           (charged->amount == p->amount && currency_eq(charged->currency, p->currency));
}

static void refund_whole(struct money_ledger *l, const struct event *e)
{
    struct money_line *line = line_of(l, &e->p.payment_id, e->p.currency);

    if (line->is_refunded)
        return;
    line->is_refunded = true;
    line_add(l, e, line, &line->sums.refunded, e->p.amount);
}

/* Orders takes the refund of another sum down once for each payment. */
static void refund_other(struct money_ledger *l, const struct event *e)
{
    struct money_line *line = line_of(l, &e->p.payment_id, e->p.currency);

    line_add(l, e, line, &line->sums.refunded, e->p.amount);
}

static void refund(struct money_ledger *l, const struct event *e)
{
    if (is_whole_refund(charged_line(l, &e->p.payment_id), &e->p))
        refund_whole(l, e);
    else if (e->type == EVENT_ORDER_REFUNDED)
        refund_other(l, e);
}

/* Orders says what is due; that it is paid back may be in the log before Orders has heard of it. */
static void settle_due(struct money_ledger *l, const struct event *e)
{
    for (unsigned i = 0; i < l->order->n_effects; i++) {
        const struct order_effect *effect = &l->order->effects[i];
        const struct payment_id id = { effect->id };
        struct money_line *line;
        int64_t due;

        if (effect->kind != EFFECT_PAYMENT || effect->due == DUE_NONE ||
            currency_is_none(effect->currency))
            continue;
        line = line_of(l, &id, effect->currency);
        due = effect->due == DUE_OPEN && !line->is_refunded ? effect->amount : 0;
        if (due == line->due)
            continue;
        line_add(l, e, line, &line->sums.due, due - line->due);
        line->due = due;
    }
}

static bool is_about_money(enum event_type type)
{
    switch (type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
    case EVENT_PAYMENT_REFUNDED:
    case EVENT_ORDER_PAID:
    case EVENT_ORDER_REFUNDED:
    case EVENT_ORDER_REFUND_REQUESTED:
    case EVENT_ORDER_CANCELLED:
    case EVENT_ORDER_REJECTED:
    case EVENT_ORDER_PAYMENT_FAILED:
        return true;
    default:
        return false;
    }
}

void money_ledger_apply(struct money_ledger *l, const struct event *e)
{
    if (e->stream.type == AGGREGATE_ORDER)
        order_apply(l->order, e);
    if (!is_about_money(e->type) || e->stream.type == AGGREGATE_INBOX)
        return;
    if (e->verdict != VERDICT_FINE) {
        l->n_refused += is_in_window(l, e);
        return;
    }
    switch (e->type) {
    case EVENT_PAYMENT_APPROVED:
    case EVENT_PAYMENT_PROCESSED:
    case EVENT_ORDER_PAID:
        charge(l, e);
        break;
    case EVENT_PAYMENT_REFUNDED:
    case EVENT_ORDER_REFUNDED:
        refund(l, e);
        break;
    default:
        break;
    }
    settle_due(l, e);
}
