#include "orderly/app/dead_letters.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/queries.h"
#include "orderly/base/bytes.h"
#include "orderly/domain/inbox.h"

#define ROW_VERSION 2
#define ROW_FIXED (1 + 1 + 1 + 16 + 16 + 2 + 8 + 4 + 8 + 8 + 1 + 8 + 8)
#define QUEUED_BEHIND_MAX 1000

struct str dead_letter_state_name(enum dead_letter_state s)
{
    switch (s) {
    case DEAD_LETTER_PARKED:
        return STR("parked");
    case DEAD_LETTER_OPEN:
        return STR("open");
    case DEAD_LETTER_RETRIED:
        return STR("retried");
    case DEAD_LETTER_DISCARDED:
        return STR("discarded");
    }
    UNREACHABLE("dead letter state");
}

bool dead_letter_state_parse(struct str name, enum dead_letter_state *out)
{
    for (unsigned i = 0; i <= DEAD_LETTER_DISCARDED; i++) {
        if (str_eq(name, dead_letter_state_name((enum dead_letter_state)i))) {
            *out = (enum dead_letter_state)i;
            return true;
        }
    }
    return false;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void row_add_str(struct buf *out, struct str s)
{
    char n[4];

    bytes_put_u32(n, (uint32_t)s.n);
    buf_add(out, n, sizeof(n));
    buf_add_str(out, s);
}

void dead_letter_encode(const struct dead_letter *d, struct buf *out)
{
    char *p = buf_reserve(out, ROW_FIXED);

    p[0] = ROW_VERSION;
    p[1] = (char)d->subscription;
    p[2] = (char)d->state;
    memcpy(p + 3, d->lane.u.b, 16);
    memcpy(p + 19, d->message_id.u.b, 16);
    bytes_put_u16(p + 35, (uint16_t)d->type);
    bytes_put_u64(p + 37, d->position);
    bytes_put_u32(p + 45, d->attempts);
    bytes_put_u64(p + 49, (uint64_t)d->first_failed_at_ms);
    bytes_put_u64(p + 57, (uint64_t)d->last_failed_at_ms);
    p[65] = d->is_parking;
    bytes_put_u64(p + 66, d->payload_position);
    bytes_put_u64(p + 74, d->closed_position);
    out->n += ROW_FIXED;
    row_add_str(out, d->error_code);
    row_add_str(out, d->error_detail);
}

static struct uuid row_read_uuid(struct bytes_reader *r)
{
    const uint8_t *p = bytes_read(r, 16);
    struct uuid u = { { 0 } };

    if (p)
        memcpy(u.b, p, sizeof(u.b));
    return u;
}

enum err dead_letter_decode(struct str row, struct dead_letter *out)
{
    struct bytes_reader r = bytes_reader_of(row);
    uint8_t version = bytes_read_u8(&r);
    uint8_t subscription = bytes_read_u8(&r);
    uint8_t state = bytes_read_u8(&r), is_parking;
    const uint8_t *type;

    *out = (struct dead_letter){ 0 };
    out->lane.u = row_read_uuid(&r);
    out->message_id.u = row_read_uuid(&r);
    type = bytes_read(&r, 2);
    out->position = bytes_read_u64(&r);
    out->attempts = bytes_read_u32(&r);
    out->first_failed_at_ms = (int64_t)bytes_read_u64(&r);
    out->last_failed_at_ms = (int64_t)bytes_read_u64(&r);
    is_parking = bytes_read_u8(&r);
    out->is_parking = is_parking == 1;
    out->payload_position = bytes_read_u64(&r);
    out->closed_position = bytes_read_u64(&r);
    out->error_code = bytes_read_str(&r);
    out->error_detail = bytes_read_str(&r);
    if (r.bad || r.at != r.end || is_parking > 1 || version != ROW_VERSION)
        return ERR_DAMAGED;
    if (subscription == SUBSCRIPTION_NONE || subscription >= SUBSCRIPTION_COUNT ||
        state > DEAD_LETTER_DISCARDED || bytes_get_u16(type) == EVENT_NONE ||
        bytes_get_u16(type) >= EVENT_TYPE_COUNT)
        return ERR_DAMAGED;
    out->subscription = (enum subscription_id)subscription;
    out->state = (enum dead_letter_state)state;
    out->type = (enum event_type)bytes_get_u16(type);
    return ERR_OK;
}

_Static_assert(EVENT_TYPE_COUNT <= 64, "a set of types no longer fits 64 bits");

/* ---- reading, on any thread ------------------------------------------------------------------ */

/* The flow tables say which context hears what; the audit and the relays may hear everything. Where the flow is not
 * known, or something is wrong with an outside message, that is Orders' to say. */
static bool subscription_hears(enum subscription_id s, const struct event *e)
{
    static const enum context contexts[SUBSCRIPTION_COUNT] = {
        [SUBSCRIPTION_ORDERS] = CONTEXT_ORDERS,
        [SUBSCRIPTION_PAYMENTS] = CONTEXT_PAYMENTS,
        [SUBSCRIPTION_INVENTORY] = CONTEXT_INVENTORY,
        [SUBSCRIPTION_SHIPMENTS] = CONTEXT_SHIPMENTS,
    };

    if (event_infos[e->type].topic.n == 0)
        return false;
    if (s == SUBSCRIPTION_AUDIT || subscription_is_relay(s))
        return true;
    if (s != SUBSCRIPTION_ORDERS && (e->p.flow == FLOW_NONE || e->verdict != VERDICT_FINE))
        return false;
    if (s == SUBSCRIPTION_INVENTORY && inbox_tells_choice(e))
        return true;
    for (unsigned f = FLOW_NONE + 1; f < FLOW_COUNT; f++) {
        if (e->p.flow != FLOW_NONE && e->p.flow != (enum flow_id)f)
            continue;
        if (flow_reaction_of(flow_of((enum flow_id)f), (uint16_t)e->type, contexts[s]))
            return true;
    }
    return false;
}

static enum err dead_letters_event_row(const struct store_view *v, struct arena *a,
                                       uint64_t position, struct str *row)
{
    char key[8];

    bytes_put_u64(key, position);
    return store_get(v, DB_EVENTS, (struct str){ key, sizeof(key) }, a, row);
}

static enum err dead_letters_count_behind(const struct store_view *v, const struct dead_letter *d,
                                          unsigned *n)
{
    char key[24];
    struct arena scratch;
    enum err err = ERR_OK;

    *n = 0;
    memcpy(key, d->lane.u.b, 16);
    bytes_put_u64(key + 16, d->position);
    arena_init(&scratch, NULL, 0);
    while (*n < QUEUED_BEHIND_MAX && !v->ops->is_late(v)) {
        struct str found, row;
        struct event e;
        uint64_t position;

        arena_reset(&scratch);
        err = store_seek(v, DB_BY_LANE, STORE_GT, (struct str){ key, sizeof(key) }, &scratch,
                         &found, &row);
        if (err != ERR_OK || found.n != sizeof(key) || memcmp(found.p, key, 16) != 0)
            break;
        memcpy(key, found.p, sizeof(key));
        position = bytes_get_u64(key + 16);
        err = dead_letters_event_row(v, &scratch, position, &row);
        if (err == ERR_NOT_FOUND)
            store_contradicts(v, DB_BY_LANE);
        if (err == ERR_OK)
            err = event_decode(row, position, &e, &scratch);
        if (err != ERR_OK)
            break;
        *n += subscription_hears(d->subscription, &e);
    }
    arena_deinit(&scratch);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err dead_letters_read(const struct store_view *v, struct arena *a,
                                  struct dead_letter_id id, struct dead_letter *out)
{
    struct str row;
    enum err err = store_get(v, DB_DEAD_LETTERS, uuid_bytes(&id.u), a, &row);

    if (err == ERR_OK)
        err = dead_letter_decode(row, out);
    out->id = id;
    return err;
}

/* Of a letter that a list has led to. */
static enum err dead_letters_read_listed(const struct store_view *v, struct arena *a,
                                         struct dead_letter_id id, struct dead_letter *out)
{
    enum err err = dead_letters_read(v, a, id, out);

    if (err == ERR_NOT_FOUND)
        store_contradicts(v, DB_DEAD_LETTERS_BY_LANE);
    return err;
}

/* As its handler got it: the log's, or that of the retry that gave it another payload. */
static enum err dead_letters_message(const struct store_view *v, struct arena *a,
                                     const struct dead_letter *d, struct str *out)
{
    uint64_t position = d->payload_position ? d->payload_position : d->position;
    struct event retried;
    enum err err = dead_letters_event_row(v, a, position, out);

    if (err == ERR_NOT_FOUND)
        store_contradicts(v, DB_DEAD_LETTERS);
    if (err == ERR_OK && d->payload_position) {
        err = event_decode(*out, position, &retried, a);
        *out = retried.p.message_row;
    }
    if (err != ERR_OK)
        *out = STR_NONE;
    return err == ERR_NOT_FOUND ? ERR_OK : err; /* its event was not there yet */
}

static enum err dead_letters_complete(const struct store_view *v, struct arena *a,
                                      struct dead_letter_item *item)
{
    enum err err = dead_letters_message(v, a, &item->letter, &item->message_row);

    item->queued_behind = 0;
    if (err != ERR_OK || item->letter.state != DEAD_LETTER_PARKED)
        return err;
    return dead_letters_count_behind(v, &item->letter, &item->queued_behind);
}

enum err dead_letters_get(const struct store_view *v, struct arena *a, struct dead_letter_id id,
                          struct dead_letter_item *out)
{
    enum err err;

    *out = (struct dead_letter_item){ 0 };
    err = dead_letters_read(v, a, id, &out->letter);
    return err == ERR_OK ? dead_letters_complete(v, a, out) : err;
}

static bool dead_letter_fits(const struct dead_letter *d, const struct dead_letter_filter *f)
{
    if (f->subscription && d->subscription != f->subscription)
        return false;
    if (f->types && !(f->types & UINT64_C(1) << d->type))
        return false;
    if (f->code.n && !str_eq(d->error_code, f->code))
        return false;
    return !f->states || f->states & 1u << d->state;
}

/* The first letter's id behind `after`: of all, or of one lane. ERR_NOT_FOUND at the end. */
static enum err dead_letters_next(const struct store_view *v, struct arena *a, struct lane_id lane,
                                  struct dead_letter_id *after)
{
    bool is_of_lane = !uuid_is_nil(lane.u);
    size_t at = is_of_lane ? 16 : 0;
    char key[32];
    struct str found, value, from = { key, at + 16 };
    enum err err;

    memcpy(key, lane.u.b, at);
    memcpy(key + at, after->u.b, 16);
    err = store_seek(v, is_of_lane ? DB_DEAD_LETTERS_BY_LANE : DB_DEAD_LETTERS, STORE_GT, from, a,
                     &found, &value);
    if (err != ERR_OK)
        return err;
    if (found.n != from.n)
        return ERR_DAMAGED;
    if (memcmp(found.p, key, at) != 0)
        return ERR_NOT_FOUND;
    memcpy(after->u.b, found.p + at, 16);
    return ERR_OK;
}

enum err dead_letters_list(const struct store_view *v, struct arena *a,
                           const struct dead_letter_filter *filter, struct dead_letter_id *after,
                           unsigned limit, struct dead_letter_item **out, unsigned *n,
                           bool *has_more)
{
    enum err err = ERR_OK;

    *out = arena_alloc(a, (limit + (size_t)(limit == 0)) * sizeof(**out));
    *n = 0;
    *has_more = false;
    for (bool is_first = true; err == ERR_OK; is_first = false) {
        struct dead_letter_id id = *after;
        struct dead_letter_item item = { 0 };

        /* What there is, and a page more to ask for; one is looked at in any case. */
        if (!is_first && (v->ops->is_late(v) || a->total > QUERY_BYTES_MAX)) {
            *has_more = true;
            break;
        }
        err = dead_letters_next(v, a, filter->lane, &id);
        if (err == ERR_OK)
            err = dead_letters_read_listed(v, a, id, &item.letter);
        if (err == ERR_OK && dead_letter_fits(&item.letter, filter)) {
            if (*n == limit) {
                *has_more = true;
                break;
            }
            err = dead_letters_complete(v, a, &item);
            (*out)[(*n)++] = item;
        }
        if (err == ERR_OK)
            *after = id;
    }
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

enum err dead_letters_scan(const struct store_view *v, struct dead_letter_scan *scan)
{
    struct arena scratch;
    enum err err = ERR_OK;

    arena_init(&scratch, NULL, 0);
    scan->has_more = false;
    for (bool is_first = true;; is_first = false) {
        struct dead_letter_id id = scan->after;
        struct dead_letter letter;

        scan->has_more =
            (scan->n_ids == scan->ids_max && !scan->counts_on) || (!is_first && v->ops->is_late(v));
        if (scan->has_more)
            break;
        arena_reset(&scratch);
        err = dead_letters_next(v, &scratch, scan->filter.lane, &id);
        if (err == ERR_OK && !uuid_is_nil(scan->last.u) &&
            memcmp(id.u.b, scan->last.u.b, sizeof(id.u.b)) > 0)
            err = ERR_NOT_FOUND;
        if (err == ERR_OK)
            err = dead_letters_read_listed(v, &scratch, id, &letter);
        if (err != ERR_OK)
            break;
        scan->after = id;
        if (!dead_letter_fits(&letter, &scan->filter))
            continue;
        scan->n++;
        if (scan->n_ids < scan->ids_max)
            scan->ids[scan->n_ids++] = id;
    }
    arena_deinit(&scratch);
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}
