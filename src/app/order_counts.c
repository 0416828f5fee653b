#include "orderly/app/order_counts.h"
#include "orderly/base/bytes.h"

#define COUNTS_ROW (8 + 8 * FLOW_COUNT * ORDER_STATUS_COUNT)

/* The status that an event leads to and the one that it leads from, by the flow's own table. A
 * cancellation comes from several, so its event names it. */
static const struct flow_row *row_of_event(const struct flow *f, const struct event *e)
{
    for (unsigned i = 0; i < f->n_rows; i++) {
        const struct flow_row *row = &f->rows[i];

        if (row->event == (uint16_t)e->type && row->from != row->to &&
            (e->type != EVENT_ORDER_CANCELLED || row->from == e->p.previous_status))
            return row;
    }
    return NULL;
}

void order_counts_add(struct order_counts *c, const struct event *e)
{
    const struct flow_row *row;

    if (event_infos[e->type].aggregate != AGGREGATE_ORDER || e->p.flow == FLOW_NONE ||
        e->stream.type == AGGREGATE_INBOX)
        return;
    if (e->type == EVENT_ORDER_PLACED) {
        c->orders[e->p.flow][flow_of(e->p.flow)->start]++;
        return;
    }
    row = row_of_event(flow_of(e->p.flow), e);
    if (!row)
        return;
    c->orders[e->p.flow][row->from]--;
    c->orders[e->p.flow][row->to]++;
}

void order_counts_encode(const struct order_counts *c, struct buf *out)
{
    char *at = buf_reserve(out, COUNTS_ROW);

    bytes_put_u64(at, c->position);
    for (unsigned f = 0; f < FLOW_COUNT; f++)
        for (unsigned s = 0; s < ORDER_STATUS_COUNT; s++)
            bytes_put_u64(at + 8 + 8 * (f * ORDER_STATUS_COUNT + s), (uint64_t)c->orders[f][s]);
    out->n += COUNTS_ROW;
}

enum err order_counts_decode(struct str row, struct order_counts *out)
{
    if (row.n != COUNTS_ROW)
        return ERR_DAMAGED;
    out->position = bytes_get_u64(row.p);
    for (unsigned f = 0; f < FLOW_COUNT; f++)
        for (unsigned s = 0; s < ORDER_STATUS_COUNT; s++)
            out->orders[f][s] =
                (int64_t)bytes_get_u64(row.p + 8 + 8 * (f * ORDER_STATUS_COUNT + s));
    return ERR_OK;
}
