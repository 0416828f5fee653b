#include "verify.h"
#include "orderly/app/bus.h"
#include "orderly/app/event_codec.h"
#include "verify_private.h"
#include <stdarg.h>
#include <stdio.h>

bool verify_is_made(enum store_db db)
{
    switch (db) {
    case DB_EVENTS:
    case DB_IDEMPOTENCY:
    case DB_LANES:
    case DB_IGNORED:
    case DB_CURSORS:
    case DB_SETTINGS:
    case DB_META:
    case STORE_DB_COUNT:
        return false;
    default:
        return true;
    }
}

/* Counts that stand among rows of other kinds. */
static bool is_made(enum store_db db, struct str key)
{
    return verify_is_made(db) || (db == DB_META && (str_eq(key, STR(ORDER_COUNTS_META)) ||
                                                    str_starts_with(key, STR(BUS_META_LETTERS))));
}

void verifier_fault(struct verifier *vr, enum store_db db, struct str key, const char *fmt, ...)
{
    char line[VERIFY_LINE_MAX];
    char row[ROW_KEY_TEXT_MAX] = "";
    const char *name = db < STORE_DB_COUNT ? store_db_name(db) : "";
    size_t n;
    va_list args;

    vr->v->n_faults++;
    vr->v->n_faults_unmade += !is_made(db, key);
    if (!vr->v->on_fault)
        return;
    if (key.n)
        row_key_text(db, key, row);
    n = (size_t)snprintf(line, sizeof(line), "%s%s%s%s", name, row[0] ? " " : "", row,
                         db < STORE_DB_COUNT ? ": " : "");
    va_start(args, fmt);
    (void)vsnprintf(line + n, sizeof(line) - n, fmt, args);
    va_end(args);
    vr->v->on_fault(vr->v->ctx, line);
}

static void verifier_end(struct verifier *vr, enum err status)
{
    if (vr->is_over)
        return;
    vr->is_over = true;
    vr->status = status;
}

bool verifier_has(struct verifier *vr, enum err status)
{
    bool is_broken;
    const char *why;

    if (status != ERR_IO)
        return status == ERR_OK;
    why = lmdb_look_why(vr->look, &is_broken);
    if (!vr->is_over && is_broken)
        verifier_fault(vr, STORE_DB_COUNT, STR_NONE, "the pages of the database are broken: %s",
                       why);
    verifier_end(vr, is_broken ? ERR_DAMAGED : ERR_IO);
    return false;
}

bool verifier_goes_on(struct verifier *vr)
{
    if (!vr->is_over && vr->v->is_stopped && vr->v->is_stopped(vr->v->ctx))
        verifier_end(vr, ERR_CANCELED);
    return !vr->is_over;
}

bool verifier_renew(struct verifier *vr)
{
    return verifier_goes_on(vr) && verifier_has(vr, lmdb_look_renew(vr->look));
}

void verifier_progress(struct verifier *vr, const char *what, uint64_t done, uint64_t about)
{
    if (vr->v->on_progress)
        vr->v->on_progress(vr->v->ctx, what, done, about);
}

enum err verifier_event(struct verifier *vr, struct str row, uint64_t position, struct event *out)
{
    arena_reset(&vr->arena);
    return event_decode(row, position, out, &vr->arena);
}

static void verify_file(struct verifier *vr)
{
    if (!lmdb_look_has_sound_metas(vr->look))
        verifier_fault(vr, STORE_DB_COUNT, STR_NONE,
                       "the meta pages of the database do not belong together");
}

enum err verify_store(struct lmdb_look *look, struct verify *v)
{
    /* Its own rows are no enemy, so any key does for the map. */
    const struct map_key key = { { 0 } };
    struct verifier vr = { .v = v, .look = look };

    tally_init(&vr.tally, &key);
    arena_init(&vr.arena, NULL, 0);
    verify_file(&vr);
    verify_log(&vr);
    if (!vr.is_over)
        verify_lanes(&vr);
    if (!vr.is_over)
        verify_lists(&vr);
    if (!vr.is_over)
        verify_rest(&vr);
    for (unsigned i = 0; i < EVENT_TYPE_COUNT; i++)
        if (vr.has_type[i])
            lmdb_scan_end(&vr.types[i]);
    arena_deinit(&vr.arena);
    tally_deinit(&vr.tally);
    v->is_cut_short = vr.has_bad_events;
    if (vr.is_over)
        return vr.status;
    return v->n_faults > 0 ? ERR_DAMAGED : ERR_OK;
}
