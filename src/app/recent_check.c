#include "recent_check.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/replay.h"
#include "orderly/app/row_keys.h"
#include "orderly/base/bytes.h"

struct recent {
    const struct store_view *v;
    struct arena arena; /* of one row */
    struct replay replay;
    unsigned n_replayed;
    enum err status; /* of the rows of a lane */
};

static enum err contradicts(const struct recent *r, enum store_db db)
{
    store_contradicts(r->v, db);
    return ERR_DAMAGED;
}

static enum err recent_has(struct recent *r, enum store_db db, struct str key)
{
    struct str value;
    enum err err = store_get(r->v, db, key, &r->arena, &value);

    return err == ERR_NOT_FOUND ? contradicts(r, db) : err;
}

static enum err recent_event(struct recent *r, uint64_t position, struct event *out)
{
    char key[ROW_KEY_POSITION];
    struct str row;
    enum err err = store_get(r->v, DB_EVENTS, row_key_position(key, position), &r->arena, &row);

    if (err == ERR_NOT_FOUND)
        return contradicts(r, DB_EVENTS);
    return err == ERR_OK ? event_decode(row, position, out, &r->arena) : err;
}

/* ---- a lane ------------------------------------------------------------------------------------ */

/* A part keeps what no event says, too (replay.h), so that it is there has to do. */
static void recent_on_row(void *ctx, enum store_db db, struct str key, struct str value)
{
    struct recent *r = ctx;
    struct str is;
    enum err err;

    if (r->status != ERR_OK)
        return;
    err = store_get(r->v, db, key, &r->arena, &is);
    if (err == ERR_NOT_FOUND || (err == ERR_OK && db != DB_PARTS && !str_eq(is, value)))
        err = contradicts(r, db);
    r->status = err;
}

/* The next event of the lane behind a position. ERR_NOT_FOUND: there is none. */
static enum err recent_next(struct recent *r, struct lane_id lane, uint64_t *position)
{
    char bytes[ROW_KEY_BY_LANE];
    struct str key, value;
    enum err err = store_seek(r->v, DB_BY_LANE, STORE_GT, row_key_by_lane(bytes, lane, *position),
                              &r->arena, &key, &value);

    if (err != ERR_OK)
        return err;
    if (!str_starts_with(key, uuid_bytes(&lane.u)))
        return ERR_NOT_FOUND;
    if (key.n != ROW_KEY_BY_LANE)
        return contradicts(r, DB_BY_LANE);
    *position = bytes_get_u64(key.p + ROW_KEY_BY_LANE - ROW_KEY_POSITION);
    return ERR_OK;
}

static enum err recent_lane(struct recent *r, struct lane_id lane)
{
    uint64_t position = 0;
    struct event e;
    enum err err;

    replay_begin(&r->replay, lane);
    while ((err = recent_next(r, lane, &position)) == ERR_OK) {
        if (r->n_replayed++ >= RECENT_REPLAY_MAX)
            return ERR_OK;
        err = recent_event(r, position, &e);
        if (err != ERR_OK)
            return err;
        if (!uuid_eq(e.lane.u, lane.u) || replay_event(&r->replay, &e))
            return contradicts(r, DB_BY_LANE);
        arena_reset(&r->arena);
    }
    if (err != ERR_NOT_FOUND)
        return err;
    r->status = ERR_OK;
    replay_rows(&r->replay, recent_on_row, r);
    return r->status;
}

/* Stock has no end to its events, and goes over all lanes. */
static bool is_short_lived(const struct event *e)
{
    return e->stream.type != AGGREGATE_PRODUCT;
}

/* ---- the last events --------------------------------------------------------------------------- */

/* Of a lane, the last event stands for all. */
static enum err recent_rows_of(struct recent *r, uint64_t position)
{
    char by_lane[ROW_KEY_BY_LANE], by_type[ROW_KEY_BY_TYPE];
    uint64_t next = position;
    struct event e;
    enum err err = recent_event(r, position, &e);

    if (err == ERR_OK)
        err = recent_has(r, DB_BY_LANE, row_key_by_lane(by_lane, e.lane, position));
    if (err == ERR_OK)
        err = recent_has(r, DB_BY_TYPE, row_key_by_type(by_type, e.type, position));
    if (err != ERR_OK || !is_short_lived(&e) || r->n_replayed >= RECENT_REPLAY_MAX)
        return err;
    err = recent_next(r, e.lane, &next);
    return err == ERR_NOT_FOUND ? recent_lane(r, e.lane) : err;
}

enum err recent_check(const struct store_view *v, uint64_t last_position)
{
    struct recent r = { .v = v };
    uint64_t at = last_position > RECENT_EVENTS ? last_position - RECENT_EVENTS : 0;
    enum err err = ERR_OK;

    arena_init(&r.arena, NULL, 0);
    replay_init(&r.replay);
    while (err == ERR_OK && at < last_position) {
        err = recent_rows_of(&r, ++at);
        arena_reset(&r.arena);
    }
    replay_deinit(&r.replay);
    arena_deinit(&r.arena);
    return err;
}
