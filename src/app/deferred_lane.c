#include "orderly/app/deferred_lane.h"
#include "orderly/base/buf.h"
#include "orderly/base/bytes.h"

#define ROW_VERSION 2
#define ROW_FIXED (1 + 8 + 4 + 1 + 3 * 8 + 16 + 8)

enum { FLAG_PARKED = 1, FLAG_ALONE = 2, FLAGS_ALL = 3 };

void deferred_lane_key(enum subscription_id s, struct lane_id lane, char out[DEFERRED_LANE_KEY_LEN])
{
    out[0] = (char)s;
    memcpy(out + 1, lane.u.b, sizeof(lane.u.b));
}

static void row_add_str(struct buf *out, struct str s)
{
    char n[4];

    bytes_put_u32(n, (uint32_t)s.n);
    buf_add(out, n, sizeof(n));
    buf_add_str(out, s);
}

void deferred_lane_encode(const struct deferred_lane *d, struct buf *out)
{
    char *p = buf_reserve(out, ROW_FIXED);

    p[0] = ROW_VERSION;
    bytes_put_u64(p + 1, d->head_position);
    bytes_put_u32(p + 9, d->attempts);
    p[13] = (char)((d->is_parked ? FLAG_PARKED : 0) | (d->is_alone ? FLAG_ALONE : 0));
    bytes_put_u64(p + 14, (uint64_t)d->first_failed_at_ms);
    bytes_put_u64(p + 22, (uint64_t)d->last_failed_at_ms);
    bytes_put_u64(p + 30, (uint64_t)d->due_wall_ms);
    memcpy(p + 38, d->dead_letter_id.u.b, 16);
    bytes_put_u64(p + 54, d->payload_position);
    out->n += ROW_FIXED;
    row_add_str(out, d->error_code);
    row_add_str(out, d->error_detail);
}

enum err deferred_lane_decode(struct str key, struct str row, struct deferred_lane *out)
{
    struct bytes_reader r = bytes_reader_of(row);
    const uint8_t *id;
    uint8_t version, flags;

    *out = (struct deferred_lane){ 0 };
    if (key.n != DEFERRED_LANE_KEY_LEN)
        return ERR_DAMAGED;
    out->subscription = (enum subscription_id)(uint8_t)key.p[0];
    memcpy(out->lane.u.b, key.p + 1, sizeof(out->lane.u.b));
    version = bytes_read_u8(&r);
    out->head_position = bytes_read_u64(&r);
    out->attempts = bytes_read_u32(&r);
    flags = bytes_read_u8(&r);
    out->is_parked = flags & FLAG_PARKED;
    out->is_alone = flags & FLAG_ALONE;
    out->first_failed_at_ms = (int64_t)bytes_read_u64(&r);
    out->last_failed_at_ms = (int64_t)bytes_read_u64(&r);
    out->due_wall_ms = (int64_t)bytes_read_u64(&r);
    id = bytes_read(&r, sizeof(out->dead_letter_id.u.b));
    if (id)
        memcpy(out->dead_letter_id.u.b, id, sizeof(out->dead_letter_id.u.b));
    out->payload_position = bytes_read_u64(&r);
    out->error_code = bytes_read_str(&r);
    out->error_detail = bytes_read_str(&r);
    if (r.bad || r.at != r.end || version != ROW_VERSION || flags > FLAGS_ALL ||
        out->head_position == 0 || out->subscription == SUBSCRIPTION_NONE ||
        out->subscription >= SUBSCRIPTION_COUNT)
        return ERR_DAMAGED;
    return ERR_OK;
}
