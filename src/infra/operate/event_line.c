#include "event_line.h"
#include "frame.h"
#include "orderly/app/lanes.h"
#include "orderly/base/timetext.h"

#define WORD_MAX 80       /* bytes of a text that somebody wrote */
#define TYPE_WIDTH 26     /* InventoryReservationFailed */
#define POSITION_WIDTH 10 /* ten thousand million events */
#define STOCK_LINES_SHOWN 3

static void add_comma(struct buf *out, size_t begin)
{
    if (out->n > begin)
        buf_add_str(out, STR(", "));
}

static void add_word(struct buf *out, size_t begin, const char *before, struct str text)
{
    if (text.n == 0)
        return;
    add_comma(out, begin);
    buf_add_str(out, str_of(before));
    operate_add_text(out, text, WORD_MAX);
}

static void add_money(struct buf *out, size_t begin, const char *before, int64_t minor,
                      struct currency currency)
{
    char text[MONEY_TEXT_MAX];

    if (currency_is_none(currency))
        return;
    add_comma(out, begin);
    buf_printf(out, "%s%.*s %s", before, (int)money_to_text(minor, currency, text), text,
               currency.code);
}

static void add_stock_lines(struct buf *out, size_t begin, const struct payload *p)
{
    for (unsigned i = 0; i < p->n_stock_lines && i < STOCK_LINES_SHOWN; i++) {
        add_comma(out, begin);
        buf_printf(out, "%lld x ", (long long)p->stock_lines[i].quantity);
        operate_add_text(out, sku_str(&p->stock_lines[i].sku), SKU_MAX);
    }
    if (p->n_stock_lines > STOCK_LINES_SHOWN)
        buf_printf(out, " and %u more", p->n_stock_lines - STOCK_LINES_SHOWN);
}

static void add_field(struct buf *out, size_t begin, enum field field, const struct event *e)
{
    const struct payload *p = &e->p;
    const void *member = (const char *)p + field_infos[field].offset;

    switch (field) {
    case FIELD_LINES:
        add_comma(out, begin);
        buf_printf(out, p->n_lines == 1 ? "%u line" : "%u lines", p->n_lines);
        break;
    case FIELD_STOCK_LINES:
        add_stock_lines(out, begin, p);
        break;
    case FIELD_TOTAL:
    case FIELD_AMOUNT:
        add_money(out, begin, "", *(const int64_t *)member, p->currency);
        break;
    case FIELD_PRICE:
        if (p->has_price)
            add_money(out, begin, "", p->price, p->currency);
        break;
    case FIELD_CUSTOMER_ID:
    case FIELD_PAYMENT_ID:
    case FIELD_RESERVATION_ID:
    case FIELD_SHIPMENT_ID:
    case FIELD_INVOICE_ID:
        add_word(out, begin, "", text_id_str(member));
        break;
    case FIELD_TRACKING_NUMBER:
    case FIELD_REASON:
    case FIELD_NAME:
    case FIELD_SUBSCRIPTION:
    case FIELD_ERROR_CODE:
    case FIELD_ERROR_DETAIL:
        add_word(out, begin, "", *(const struct str *)member);
        break;
    case FIELD_SKU:
        if (e->stream.type != AGGREGATE_PRODUCT) /* whose line says it already */
            add_word(out, begin, "", sku_str(member));
        break;
    case FIELD_PREVIOUS_STATUS:
        if (p->previous_status != ORDER_NONE)
            add_word(out, begin, "was ", order_status_name(p->previous_status));
        break;
    case FIELD_REFUND:
        if (p->refund.set)
            add_money(out, begin, "gives back ", p->refund.amount, p->refund.currency);
        break;
    case FIELD_RELEASE:
        if (p->release.set)
            add_word(out, begin, "releases ", text_id_str(&p->release.reservation_id.t));
        break;
    case FIELD_QUANTITY:
        add_comma(out, begin);
        buf_printf(out, "%lld pieces", (long long)p->quantity);
        break;
    case FIELD_STOCK_DELTA:
        add_comma(out, begin);
        buf_printf(out, "stock %+lld", (long long)p->stock_delta);
        break;
    case FIELD_MESSAGE_POSITION:
        add_comma(out, begin);
        buf_printf(out, "message %llu", (unsigned long long)p->message_position);
        break;
    default: /* says little in a line, or stands in it already */
        break;
    }
}

void event_words_add(struct buf *out, const struct event *e)
{
    size_t begin = out->n;

    for (const struct event_field *f = event_infos[e->type].fields; f->field != FIELD_NONE; f++)
        add_field(out, begin, f->field, e);
    if (e->verdict != VERDICT_FINE)
        add_word(out, begin, "refused: ", str_of(verdict_name(e->verdict)));
}

void event_line_add(struct buf *out, const struct event *e)
{
    struct text_id whose = correlation_of_event(e);
    char time[TIMETEXT_LEN];

    timetext_format(e->occurred_at_ms, time);
    buf_printf(out, "%.*s %*llu  %-*.*s  ", TIMETEXT_LEN, time, POSITION_WIDTH,
               (unsigned long long)e->position, TYPE_WIDTH, (int)event_infos[e->type].type.n,
               event_infos[e->type].type.p);
    operate_add_text(out, text_id_str(&whose), TEXT_ID_MAX);
    buf_add_str(out, STR("  "));
    event_words_add(out, e);
    while (out->n && out->p[out->n - 1] == ' ')
        out->n--;
    buf_add_str(out, STR("\n"));
}
