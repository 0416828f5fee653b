#include "orderly/app/settings_codec.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"
#include <limits.h>

#define SETTINGS_FORMAT 1

static void put_u8(struct buf *out, unsigned v)
{
    char c = (char)v;

    buf_add(out, &c, 1);
}

static void put_u64(struct buf *out, uint64_t v)
{
    bytes_put_u64(buf_reserve(out, 8), v);
    out->n += 8;
}

static void put_double(struct buf *out, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    put_u64(out, bits);
}

static double read_double(struct bytes_reader *r)
{
    uint64_t bits = bytes_read_u64(r);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* What all three have. */
static void put_common(struct buf *out, bool enabled, unsigned mode, const int64_t *delay_ms,
                       unsigned fail_first)
{
    put_u8(out, SETTINGS_FORMAT);
    put_u8(out, enabled);
    put_u8(out, mode);
    put_u64(out, fail_first);
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++)
        put_u64(out, (uint64_t)delay_ms[f]);
}

void settings_encode(const struct simulators *s, enum simulator which, struct buf *out)
{
    switch (which) {
    case SIMULATOR_PAYMENTS:
        put_common(out, s->payments.enabled, s->payments.mode, s->payments.delay_ms,
                   s->payments.fail_first);
        put_double(out, s->payments.failure_rate);
        put_double(out, s->payments.poison_rate);
        put_u64(out, s->payments.seed);
        put_u8(out, s->payments.has_decline_above);
        put_u64(out, (uint64_t)s->payments.decline_above_e4);
        buf_add_str(out, str_of(s->payments.reason));
        return;
    case SIMULATOR_INVENTORY:
        put_common(out, s->inventory.enabled, s->inventory.mode, s->inventory.delay_ms,
                   s->inventory.fail_first);
        return;
    case SIMULATOR_SHIPMENTS:
        put_common(out, s->shipments.enabled, s->shipments.mode, s->shipments.delay_ms,
                   s->shipments.fail_first);
        return;
    case SIMULATOR_COUNT:
        break;
    }
    UNREACHABLE("simulator");
}

struct common {
    bool enabled;
    unsigned mode, fail_first;
    int64_t delay_ms[FLOW_COUNT];
};

static bool read_common(struct bytes_reader *r, struct common *c, unsigned mode_max)
{
    bool ok = bytes_read_u8(r) == SETTINGS_FORMAT;
    uint64_t fail_first;

    c->enabled = bytes_read_u8(r) != 0;
    c->mode = bytes_read_u8(r);
    fail_first = bytes_read_u64(r);
    ok = ok && fail_first <= UINT_MAX;
    c->fail_first = (unsigned)fail_first;
    c->delay_ms[FLOW_NONE] = 0;
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++) {
        c->delay_ms[f] = (int64_t)bytes_read_u64(r);
        ok = ok && c->delay_ms[f] >= 0 && c->delay_ms[f] <= SIMULATOR_DELAY_MAX_MS;
    }
    return ok && !r->bad && c->mode <= mode_max;
}

/* False for what is no number, too. */
static bool is_rate(double v)
{
    return v >= 0 && v <= 1;
}

static enum err decode_payments(struct bytes_reader *r, struct simulators *out)
{
    struct simulators next = *out;
    struct common c;
    size_t n;

    if (!read_common(r, &c, PAYMENTS_WAIT))
        return ERR_DAMAGED;
    next.payments.enabled = c.enabled;
    next.payments.mode = (enum payments_mode)c.mode;
    next.payments.fail_first = c.fail_first;
    memcpy(next.payments.delay_ms, c.delay_ms, sizeof(c.delay_ms));
    next.payments.failure_rate = read_double(r);
    next.payments.poison_rate = read_double(r);
    next.payments.seed = bytes_read_u64(r);
    next.payments.has_decline_above = bytes_read_u8(r) != 0;
    next.payments.decline_above_e4 = (int64_t)bytes_read_u64(r);
    n = (size_t)(r->end - r->at);
    if (r->bad || !is_rate(next.payments.failure_rate) || !is_rate(next.payments.poison_rate) ||
        next.payments.decline_above_e4 < 0 || n >= sizeof(next.payments.reason) ||
        memchr(r->at, 0, n))
        return ERR_DAMAGED;
    memcpy(next.payments.reason, r->at, n);
    next.payments.reason[n] = 0;
    *out = next;
    return ERR_OK;
}

enum err settings_decode(struct str row, enum simulator which, struct simulators *out)
{
    struct bytes_reader r = bytes_reader_of(row);
    struct common c;

    if (which == SIMULATOR_PAYMENTS)
        return decode_payments(&r, out);
    if (!read_common(&r, &c,
                     which == SIMULATOR_INVENTORY ? (unsigned)INVENTORY_REJECT
                                                  : (unsigned)SHIPMENTS_WAIT) ||
        r.at != r.end)
        return ERR_DAMAGED;
    if (which == SIMULATOR_INVENTORY) {
        out->inventory.enabled = c.enabled;
        out->inventory.mode = (enum inventory_mode)c.mode;
        out->inventory.fail_first = c.fail_first;
        memcpy(out->inventory.delay_ms, c.delay_ms, sizeof(c.delay_ms));
    } else {
        out->shipments.enabled = c.enabled;
        out->shipments.mode = (enum shipments_mode)c.mode;
        out->shipments.fail_first = c.fail_first;
        memcpy(out->shipments.delay_ms, c.delay_ms, sizeof(c.delay_ms));
    }
    return ERR_OK;
}
