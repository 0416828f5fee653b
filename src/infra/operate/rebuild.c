#include "rebuild.h"
#include "orderly/app/bus.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/idempotency.h"
#include "orderly/app/snapshot_codec.h"
#include "orderly/base/bytes.h"
#include "rebuild_private.h"
#include <stdio.h>

#define PROGRESS_EVERY 4096

/* Copied as they are; their sums must be right. */
static const enum store_db kept[] = { DB_IDEMPOTENCY, DB_LANES,    DB_IGNORED,
                                      DB_CURSORS,     DB_SETTINGS, DB_META };

/* ---- shared ---------------------------------------------------------------------------------- */

void rebuilder_fault(struct rebuilder *rb, enum store_db db, struct str key, const char *what)
{
    char line[VERIFY_LINE_MAX];
    char row[ROW_KEY_TEXT_MAX] = "";

    rb->r->n_faults++;
    if (!rb->r->on_fault)
        return;
    if (key.n)
        row_key_text(db, key, row);
    if (db < STORE_DB_COUNT)
        (void)snprintf(line, sizeof(line), "%s%s%s: %s", store_db_name(db), row[0] ? " " : "", row,
                       what);
    else
        (void)snprintf(line, sizeof(line), "%s", what);
    rb->r->on_fault(rb->r->ctx, line);
}

void rebuilder_put(struct rebuilder *rb, enum store_db db, struct str key, struct str value)
{
    if (rb->err == ERR_OK)
        rb->err = lmdb_build_put(rb->b, db, key, value);
}

static void put_stored(struct rebuilder *rb, enum store_db db, const struct lmdb_row *row)
{
    if (rb->err == ERR_OK)
        rb->err = lmdb_build_put_stored(rb->b, db, row->key, row->stored);
}

bool rebuilder_goes_on(struct rebuilder *rb)
{
    if (rb->err == ERR_OK && lmdb_build_is_large(rb->b))
        rb->err = lmdb_build_commit(rb->b);
    return rb->err == ERR_OK;
}

void rebuilder_progress(struct rebuilder *rb, const char *what, uint64_t done, uint64_t about)
{
    if (rb->r->on_progress)
        rb->r->on_progress(rb->r->ctx, what, done, about);
}

bool rebuilder_old(struct rebuilder *rb, enum store_db db, struct str key, struct lmdb_row *row)
{
    return rb->can_read[db] && lmdb_look_get(rb->from, db, key, row) == ERR_OK;
}

/* ---- are the events sound? ------------------------------------------------------------------- */

static void on_damage(void *ctx, enum store_db db, struct str key, const char *what)
{
    rebuilder_fault(ctx, db, key, what);
}

static bool on_event(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct rebuilder *rb = ctx;
    uint64_t position = key.n == 8 ? bytes_get_u64(key.p) : 0;
    struct event e;
    const char *why;

    arena_reset(&rb->arena);
    if (event_decode(value, position, &e, &rb->arena) != ERR_OK) {
        rebuilder_fault(rb, db, key, "is no event that can be read");
        return true;
    }
    why = tally_event(&rb->tally, &e);
    if (why)
        rebuilder_fault(rb, db, key, why);
    if (rb->has_counts && position == rb->counts.position)
        rb->counts = rb->tally.counts;
    return true;
}

static void on_walk_progress(void *ctx, uint64_t rows, uint64_t rows_about)
{
    (void)rows_about;
    rebuilder_progress(ctx, "check the events", rows, 0);
}

/* Where the old counts were of, so that the new ones are of the same position. */
static void read_counts(struct rebuilder *rb)
{
    struct lmdb_row row;

    rb->has_counts = rebuilder_old(rb, DB_META, STR(ORDER_COUNTS_META), &row) &&
                     order_counts_decode(row.value, &rb->counts) == ERR_OK;
}

static void check_events(struct rebuilder *rb)
{
    struct lmdb_walk walk = {
        .on_row = on_event,
        .on_damage = on_damage,
        .on_progress = on_walk_progress,
        .ctx = rb,
        .events_only = true,
    };

    read_counts(rb);
    rb->err = lmdb_look_walk(rb->from, &walk);
    rb->r->events = rb->tally.n_events;
    if (rb->err == ERR_OK && walk.rows > 0 && walk.first_position != 1)
        rebuilder_fault(rb, DB_EVENTS, STR_NONE, "do not begin at position 1");
    if (rb->err == ERR_OK && rb->r->n_faults > 0)
        rb->err = ERR_DAMAGED;
}

/* ---- copying --------------------------------------------------------------------------------- */

static void copy_event(struct rebuilder *rb, const struct lmdb_row *row)
{
    char by_lane[ROW_KEY_BY_LANE];
    char by_type[ROW_KEY_BY_TYPE];
    uint64_t position = bytes_get_u64(row->key.p);
    struct event e;

    arena_reset(&rb->arena);
    if (event_decode(row->value, position, &e, &rb->arena) != ERR_OK) {
        rb->err = ERR_DAMAGED; /* it was readable a moment ago */
        return;
    }
    put_stored(rb, DB_EVENTS, row);
    rebuilder_put(rb, DB_BY_LANE, row_key_by_lane(by_lane, e.lane, position), STR_NONE);
    rebuilder_put(rb, DB_BY_TYPE, row_key_by_type(by_type, e.type, position), STR_NONE);
}

static void copy_events(struct rebuilder *rb)
{
    struct lmdb_scan s;
    uint64_t n = 0;

    lmdb_scan_begin(&s, rb->from, DB_EVENTS, STR_NONE);
    for (; s.status == ERR_OK && rebuilder_goes_on(rb); lmdb_scan_next(&s)) {
        copy_event(rb, &s.row);
        if (n++ % PROGRESS_EVERY == 0)
            rebuilder_progress(rb, "copy the events", n, rb->r->events);
    }
    if (rb->err == ERR_OK && s.status != ERR_NOT_FOUND)
        rb->err = ERR_DAMAGED;
    lmdb_scan_end(&s);
}

static bool is_made_anew(enum store_db db, struct str key)
{
    return db == DB_META &&
           (str_eq(key, STR(ORDER_COUNTS_META)) || str_starts_with(key, STR(BUS_META_LETTERS)));
}

static void copy_kept(struct rebuilder *rb, enum store_db db)
{
    struct lmdb_scan s;

    if (!rb->can_read[db]) {
        rebuilder_fault(rb, db, STR_NONE, "its pages can't be read, and no event makes its rows");
        return;
    }
    lmdb_scan_begin(&s, rb->from, db, STR_NONE);
    for (; lmdb_scan_has_key(&s) && rebuilder_goes_on(rb); lmdb_scan_next(&s)) {
        if (is_made_anew(db, s.row.key))
            continue;
        if (s.status == ERR_OK)
            put_stored(rb, db, &s.row);
        else
            rebuilder_fault(rb, db, s.row.key, "its sum is wrong, and no event makes it");
    }
    lmdb_scan_end(&s);
}

/* Each stored answer has one; what is left of an earlier use of the same key goes by itself. */
static void copy_expiries(struct rebuilder *rb)
{
    struct stored_answer answer;
    char key[ROW_KEY_TIME];
    struct lmdb_row row;
    struct lmdb_scan s;

    lmdb_scan_begin(&s, rb->from, DB_IDEMPOTENCY, STR_NONE);
    for (; lmdb_scan_has_key(&s) && rebuilder_goes_on(rb); lmdb_scan_next(&s)) {
        if (s.status != ERR_OK || s.row.key.n != 16 ||
            stored_answer_decode(s.row.value, &answer) != ERR_OK)
            continue; /* what it is, the check at the end says */
        bytes_put_u64(key, (uint64_t)answer.expires_ms);
        memcpy(key + 8, s.row.key.p, 16);
        rebuilder_put(rb, DB_IDEMPOTENCY_EXPIRY, (struct str){ key, sizeof(key) }, STR_NONE);
    }
    lmdb_scan_end(&s);
    if (!rb->can_read[DB_IDEMPOTENCY_EXPIRY])
        return;
    lmdb_scan_begin(&s, rb->from, DB_IDEMPOTENCY_EXPIRY, STR_NONE);
    for (; lmdb_scan_has_key(&s) && rebuilder_goes_on(rb); lmdb_scan_next(&s))
        if (s.status == ERR_OK && s.row.key.n == ROW_KEY_TIME &&
            rebuilder_old(rb, DB_IDEMPOTENCY, (struct str){ s.row.key.p + 8, 16 }, &row) &&
            stored_answer_decode(row.value, &answer) == ERR_OK &&
            answer.expires_ms > (int64_t)bytes_get_u64(s.row.key.p))
            rebuilder_put(rb, DB_IDEMPOTENCY_EXPIRY, s.row.key, STR_NONE);
    lmdb_scan_end(&s);
}

/* ---- what follows from all events ------------------------------------------------------------ */

static void put_stock(void *ctx, struct map_node *n)
{
    struct rebuilder *rb = ctx;
    const struct tally_stock *t = container_of(n, struct tally_stock, node);
    struct buf row = { 0 };

    stock_encode(&t->stock, t->position, &row);
    rebuilder_put(rb, DB_STOCK, sku_str(&t->sku), buf_str(&row));
    buf_deinit(&row);
}

static void put_counts(struct rebuilder *rb)
{
    struct str key = STR(ORDER_COUNTS_META);
    struct buf row = { 0 };
    struct lmdb_row old;
    bool is_there = rebuilder_old(rb, DB_META, key, &old) ||
                    lmdb_look_get(rb->from, DB_META, key, &old) == ERR_DAMAGED;

    /* A store that was never counted is counted by its next server. */
    if (!is_there)
        return;
    if (!rb->has_counts || rb->counts.position > rb->tally.last_position)
        rb->counts = rb->tally.counts;
    if (rb->counts.position == 0)
        rb->counts = (struct order_counts){ 0 };
    order_counts_encode(&rb->counts, &row);
    rebuilder_put(rb, DB_META, key, buf_str(&row));
    buf_deinit(&row);
}

static void put_letters(struct rebuilder *rb)
{
    for (unsigned s = SUBSCRIPTION_NONE + 1; s < SUBSCRIPTION_COUNT; s++) {
        char key[sizeof(BUS_META_LETTERS)];
        char value[16];

        if (rb->tally.sequences[s] == 0)
            continue;
        bytes_put_u64(value, rb->tally.sequences[s]);
        bytes_put_u64(value + 8, (uint64_t)rb->tally.letters_open[s]);
        rebuilder_put(rb, DB_META, row_key_letters(key, (enum subscription_id)s),
                      (struct str){ value, sizeof(value) });
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void on_verify_fault(void *ctx, const char *line)
{
    struct rebuilder *rb = ctx;

    rb->r->n_faults++;
    if (rb->r->on_fault)
        rb->r->on_fault(rb->r->ctx, line);
}

static void on_verify_progress(void *ctx, const char *what, uint64_t done, uint64_t about)
{
    (void)what;
    rebuilder_progress(ctx, "verify", done, about);
}

static void verify_fresh(struct rebuilder *rb)
{
    struct verify v = { .on_fault = on_verify_fault, .on_progress = on_verify_progress, .ctx = rb };

    rb->err = lmdb_build_finish(rb->b);
    if (rb->err == ERR_OK)
        rb->err = verify_store(lmdb_build_to(rb->b), &v);
    rb->r->rows = v.rows;
}

enum err rebuild_store(struct lmdb_build *b, struct rebuild *r)
{
    /* As in verify.c: any key does for the map. */
    const struct map_key key = { { 0 } };
    struct rebuilder rb = { .r = r, .b = b, .from = lmdb_build_from(b) };

    tally_init(&rb.tally, &key);
    arena_init(&rb.arena, NULL, 0);
    rebuild_probe(&rb);
    check_events(&rb);
    if (rb.err == ERR_OK)
        copy_events(&rb);
    for (size_t i = 0; i < ARRAY_LEN(kept) && rb.err == ERR_OK; i++)
        copy_kept(&rb, kept[i]);
    if (rb.err == ERR_OK && r->n_faults > 0)
        rb.err = ERR_DAMAGED;
    if (rb.err == ERR_OK)
        copy_expiries(&rb);
    if (rb.err == ERR_OK)
        rebuild_lanes(&rb);
    if (rb.err == ERR_OK) {
        map_each(&rb.tally.stock, put_stock, &rb);
        put_counts(&rb);
        put_letters(&rb);
    }
    if (rb.err == ERR_OK)
        verify_fresh(&rb);
    if (rb.err == ERR_OK)
        rebuild_compare(&rb);
    arena_deinit(&rb.arena);
    tally_deinit(&rb.tally);
    return rb.err;
}

const char *rebuild_why(struct lmdb_build *b)
{
    const char *why = lmdb_build_why(b);

    return why[0] ? why : lmdb_look_why(lmdb_build_from(b), NULL);
}
