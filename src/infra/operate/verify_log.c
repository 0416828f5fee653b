/* The log from its first event to its last, by the walk that checks all sums; along with it what
 * follows from the events in their order, and the list by type, which has one row for each. */
#include "orderly/base/bytes.h"
#include "verify_private.h"

static unsigned type_of_key(struct str key)
{
    return key.n >= 2 ? bytes_get_u16(key.p) : 0;
}

static struct lmdb_scan *type_scan(struct verifier *vr, unsigned type)
{
    struct lmdb_scan *s = &vr->types[type];
    char from[2];

    if (!vr->has_type[type]) {
        bytes_put_u16(from, (uint16_t)type);
        lmdb_scan_begin(s, vr->look, DB_BY_TYPE, (struct str){ from, sizeof(from) });
        vr->has_type[type] = true;
    }
    return s;
}

/* A scan at the end of its type stands at the first row of another, before which there may be more
 * now. */
bool verify_types_renew(struct verifier *vr)
{
    char from[ROW_KEY_BY_TYPE];

    if (!verifier_renew(vr))
        return false;
    for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++) {
        if (!vr->has_type[i])
            continue;
        lmdb_scan_refresh(&vr->types[i]);
        if (vr->types[i].status != ERR_IO)
            lmdb_scan_seek(&vr->types[i],
                           row_key_by_type(from, (enum event_type)i, vr->type_from[i]));
    }
    return true;
}

/* Passes what lies before position (0: all that there is of the type): none of it has an event. */
static void type_pass(struct verifier *vr, struct lmdb_scan *s, unsigned type, uint64_t position)
{
    while (lmdb_scan_has_key(s) && type_of_key(s->row.key) == type) {
        struct str key = s->row.key;

        if (key.n == ROW_KEY_BY_TYPE && position > 0 && bytes_get_u64(key.p + 2) >= position)
            return;
        if (s->status == ERR_OK) /* else it is named already */
            verifier_fault(vr, DB_BY_TYPE, key,
                           key.n == ROW_KEY_BY_TYPE ? "there is no such event"
                                                    : "is no key of this list");
        lmdb_scan_next(s);
    }
    (void)verifier_has(vr, s->status);
}

static bool type_is_at(const struct lmdb_scan *s, struct str key)
{
    return lmdb_scan_has_key(s) && str_eq(s->row.key, key);
}

void verify_type_of(struct verifier *vr, const struct event *e)
{
    char bytes[ROW_KEY_BY_TYPE];
    struct str key = row_key_by_type(bytes, e->type, e->position);
    struct lmdb_scan *s = type_scan(vr, e->type);

    vr->type_from[e->type] = e->position;
    type_pass(vr, s, e->type, e->position);
    /* The walk has a moment of its own, which may be younger than ours. */
    if (!vr->is_over && !type_is_at(s, key) && verify_types_renew(vr))
        type_pass(vr, s, e->type, e->position);
    if (vr->is_over)
        return;
    vr->type_from[e->type]++;
    if (!type_is_at(s, key)) {
        verifier_fault(vr, DB_BY_TYPE, key, "is missing");
        return;
    }
    if (s->status == ERR_OK && s->row.value.n > 0)
        verifier_fault(vr, DB_BY_TYPE, key, "holds something");
    lmdb_scan_next(s);
}

void verify_types_end(struct verifier *vr)
{
    struct lmdb_scan s;
    char from[2];

    for (unsigned i = 1; i < EVENT_TYPE_COUNT && !vr->is_over; i++)
        type_pass(vr, type_scan(vr, i), i, 0);
    if (vr->is_over)
        return;
    lmdb_scan_begin(&s, vr->look, DB_BY_TYPE, STR_NONE);
    type_pass(vr, &s, 0, 0);
    bytes_put_u16(from, EVENT_TYPE_COUNT);
    for (lmdb_scan_seek(&s, (struct str){ from, sizeof(from) }); lmdb_scan_has_key(&s);
         lmdb_scan_next(&s))
        verifier_fault(vr, DB_BY_TYPE, s.row.key, "there is no such type of events");
    (void)verifier_has(vr, s.status);
    lmdb_scan_end(&s);
}

/* ---- the walk -------------------------------------------------------------------------------- */

static void on_damage(void *ctx, enum store_db db, struct str key, const char *what)
{
    struct verifier *vr = ctx;

    verifier_fault(vr, db, key, "%s", what);
    vr->has_bad_events |= db == DB_EVENTS;
}

static bool on_row(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct verifier *vr = ctx;
    struct event e;
    const char *why;

    if (db != DB_EVENTS || key.n != ROW_KEY_POSITION)
        return !vr->is_over;
    vr->log_position = bytes_get_u64(key.p);
    if (vr->first_position == 0)
        vr->first_position = vr->log_position;
    if (verifier_event(vr, value, vr->log_position, &e) != ERR_OK) {
        verifier_fault(vr, DB_EVENTS, key, "is no event that can be read");
        vr->has_bad_events = true;
        return true;
    }
    why = tally_event(&vr->tally, &e);
    if (why)
        verifier_fault(vr, DB_EVENTS, key, "%s", why);
    verify_type_of(vr, &e);
    if (lmdb_look_is_old(vr->look))
        (void)verify_types_renew(vr);
    return !vr->is_over;
}

static void on_progress(void *ctx, uint64_t rows, uint64_t rows_about)
{
    struct verifier *vr = ctx;

    verifier_progress(vr, "sums", rows, rows_about);
    (void)verifier_goes_on(vr);
}

void verify_log(struct verifier *vr)
{
    struct lmdb_walk walk = {
        .on_row = on_row,
        .on_damage = on_damage,
        .on_progress = on_progress,
        .ctx = vr,
    };
    enum err err;

    if (!verifier_renew(vr))
        return;
    err = lmdb_look_walk(vr->look, &walk);
    vr->v->rows = walk.rows;
    vr->v->bytes = walk.bytes;
    memcpy(vr->v->rows_of, walk.rows_of, sizeof(walk.rows_of));
    vr->v->last_position = walk.last_position;
    vr->v->epochs = walk.epochs;
    if (!vr->is_over && err == ERR_IO) {
        vr->is_over = true;
        vr->status = ERR_IO;
    }
    if (vr->first_position > 1) {
        verifier_fault(vr, DB_EVENTS, STR_NONE, "begins at position %llu",
                       (unsigned long long)vr->first_position);
        vr->has_bad_events = true;
    }
}
