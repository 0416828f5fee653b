/* Dead letters: their events say all but when they failed first and last, and whether their lane was
 * parked. That is taken from the old row where there is a sound one. */
#include "orderly/app/dead_letters.h"
#include "orderly/app/deferred_lane.h"
#include "orderly/app/event_codec.h"
#include "orderly/app/failure.h"
#include "orderly/base/buf.h"
#include "rebuild_private.h"

/* A lane waits behind it, or it is of the kind that lanes wait behind. */
static bool was_parking(struct rebuilder *rb, const struct event *e)
{
    char key[DEFERRED_LANE_KEY_LEN];
    struct str k = { key, sizeof(key) };
    enum failure_code code;
    struct deferred_lane d;
    struct lmdb_row row;

    deferred_lane_key(e->handled_by, e->lane, key);
    if (rebuilder_old(rb, DB_LANES, k, &row) && deferred_lane_decode(k, row.value, &d) == ERR_OK &&
        d.is_parked && uuid_eq(d.dead_letter_id.u, e->p.dead_letter_id.u))
        return true;
    return failure_code_parse(e->p.error_code, &code) && !failure_is_permanent(code);
}

static enum event_type type_of_message(struct rebuilder *rb, uint64_t position)
{
    char key[ROW_KEY_POSITION];
    struct lmdb_row row;
    struct arena arena;
    struct event m;
    enum event_type type = EVENT_NONE;

    arena_init(&arena, NULL, 0);
    if (lmdb_look_get(rb->from, DB_EVENTS, row_key_position(key, position), &row) == ERR_OK &&
        event_decode(row.value, position, &m, &arena) == ERR_OK)
        type = m.type;
    arena_deinit(&arena);
    return type;
}

static void put_letter(struct rebuilder *rb, const struct dead_letter *d)
{
    struct buf row = { 0 };

    dead_letter_encode(d, &row);
    rebuilder_put(rb, DB_DEAD_LETTERS, uuid_bytes(&d->id.u), buf_str(&row));
    buf_deinit(&row);
}

static void make_letter(struct rebuilder *rb, const struct event *e)
{
    struct dead_letter d = {
        .first_failed_at_ms = e->occurred_at_ms,
        .last_failed_at_ms = e->occurred_at_ms,
        .is_parking = was_parking(rb, e),
    };
    char key[ROW_KEY_LETTER];
    struct dead_letter old;
    struct lmdb_row row;

    if (rebuilder_old(rb, DB_DEAD_LETTERS, uuid_bytes(&e->p.dead_letter_id.u), &row) &&
        dead_letter_decode(row.value, &old) == ERR_OK) {
        d.first_failed_at_ms = old.first_failed_at_ms;
        d.last_failed_at_ms = old.last_failed_at_ms;
        d.is_parking = old.is_parking;
        d.payload_position = old.payload_position;
    }
    d.id = e->p.dead_letter_id;
    d.subscription = e->handled_by;
    d.state = d.is_parking ? DEAD_LETTER_PARKED : DEAD_LETTER_OPEN;
    d.lane = e->lane;
    d.message_id = e->cause;
    d.position = e->p.message_position;
    d.type = type_of_message(rb, d.position);
    d.attempts = (unsigned)e->p.attempts;
    d.error_code = e->p.error_code;
    d.error_detail = e->p.error_detail;
    put_letter(rb, &d);
    rebuilder_put(rb, DB_DEAD_LETTERS_BY_LANE, row_key_letter(key, d.lane, d.id), STR_NONE);
}

static void close_letter(struct rebuilder *rb, const struct event *e)
{
    struct str id = uuid_bytes(&e->p.dead_letter_id.u);
    struct buf copy = { 0 };
    struct dead_letter d;
    struct str row;

    if (rb->err != ERR_OK)
        return;
    if (lmdb_build_get(rb->b, DB_DEAD_LETTERS, id, &row) != ERR_OK) {
        rebuilder_fault(rb, DB_DEAD_LETTERS, id, "is closed, and never was");
        return;
    }
    buf_add_str(&copy, row);
    if (dead_letter_decode(buf_str(&copy), &d) == ERR_OK) {
        d.id = e->p.dead_letter_id;
        d.state =
            e->type == EVENT_DEAD_LETTER_RETRIED ? DEAD_LETTER_RETRIED : DEAD_LETTER_DISCARDED;
        d.closed_position = e->position;
        put_letter(rb, &d);
    }
    buf_deinit(&copy);
}

void rebuild_letter(struct rebuilder *rb, const struct event *e)
{
    if (e->type == EVENT_DEAD_LETTERED)
        make_letter(rb, e);
    else
        close_letter(rb, e);
}
