#include "app_private.h"
#include "orderly/app/row_keys.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/buf.h"
#include "orderly/base/mem.h"

void part_state_copy(struct part_state *out, const struct part *p)
{
    out->type = p->type;
    switch (p->type) {
    case AGGREGATE_PAYMENT:
        out->payment = p->payment;
        return;
    case AGGREGATE_RESERVATION:
        out->reservation = p->reservation;
        if (p->reservation.n_lines) {
            size_t size = p->reservation.n_lines * sizeof(*p->reservation.lines);

            out->reservation.lines = mem_alloc(size);
            memcpy(out->reservation.lines, p->reservation.lines, size);
        }
        return;
    case AGGREGATE_SHIPMENT:
        out->shipment = p->shipment;
        if (p->shipment.tracking_number.n) {
            char *copy = mem_alloc(p->shipment.tracking_number.n);

            memcpy(copy, p->shipment.tracking_number.p, p->shipment.tracking_number.n);
            out->shipment.tracking_number.p = copy;
        }
        return;
    case AGGREGATE_INBOX:
        out->inbox = p->inbox;
        return;
    default:
        UNREACHABLE("a part is a payment, a reservation, a shipment or an inbox");
    }
}

void part_state_apply(struct part_state *s, const struct event *e)
{
    switch (s->type) {
    case AGGREGATE_PAYMENT:
        payment_apply(&s->payment, e);
        return;
    case AGGREGATE_RESERVATION:
        reservation_apply(&s->reservation, e);
        return;
    case AGGREGATE_SHIPMENT:
        shipment_apply(&s->shipment, e);
        return;
    case AGGREGATE_INBOX:
        inbox_apply(&s->inbox, e);
        return;
    default:
        UNREACHABLE("a part is a payment, a reservation, a shipment or an inbox");
    }
}

void part_state_encode(const struct part_state *s, struct buf *out)
{
    switch (s->type) {
    case AGGREGATE_PAYMENT:
        payment_encode(&s->payment, out);
        return;
    case AGGREGATE_RESERVATION:
        reservation_encode(&s->reservation, out);
        return;
    case AGGREGATE_SHIPMENT:
        shipment_encode(&s->shipment, out);
        return;
    case AGGREGATE_INBOX:
        inbox_encode(&s->inbox, out);
        return;
    default:
        UNREACHABLE("a part is a payment, a reservation, a shipment or an inbox");
    }
}

void part_state_put(struct append *a, struct lane_id lane, const struct text_id *id,
                    const struct part_state *s)
{
    char key[ROW_KEY_PART_MAX];
    struct buf row = { 0 };

    part_state_encode(s, &row);
    append_put(a, DB_PARTS, row_key_part(key, lane, s->type, text_id_str(id)), buf_str(&row));
    buf_deinit(&row);
}

void part_state_deinit(struct part_state *s)
{
    if (s->type == AGGREGATE_RESERVATION)
        reservation_deinit(&s->reservation);
    if (s->type == AGGREGATE_SHIPMENT)
        shipment_deinit(&s->shipment);
}

void part_become(struct part *p, struct part_state *s)
{
    switch (p->type) {
    case AGGREGATE_PAYMENT:
        p->payment = s->payment;
        p->sequence = s->payment.sequence;
        return;
    case AGGREGATE_RESERVATION:
        reservation_deinit(&p->reservation);
        p->reservation = s->reservation;
        p->sequence = s->reservation.sequence;
        return;
    case AGGREGATE_SHIPMENT:
        shipment_deinit(&p->shipment);
        p->shipment = s->shipment;
        p->sequence = s->shipment.sequence;
        return;
    case AGGREGATE_INBOX:
        p->inbox = s->inbox;
        p->sequence = s->inbox.sequence;
        return;
    default:
        UNREACHABLE("a part is a payment, a reservation, a shipment or an inbox");
    }
}
