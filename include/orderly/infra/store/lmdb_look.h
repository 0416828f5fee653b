/* A look into a store for who reads much of it: one moment of it at a time, rows in place, any number
 * of scans along databases. The moment is renewed by the caller, every second on a live store, since
 * an old one keeps pages from being used again; scans go on where they were.
 *
 * LMDB's own pages are trusted as far as LMDB does; see in_child.h. One thread. */
#ifndef ORDERLY_INFRA_STORE_LMDB_LOOK_H
#define ORDERLY_INFRA_STORE_LMDB_LOOK_H
#include "orderly/infra/store/lmdb_engine.h"
#include "orderly/infra/store/lmdb_walk.h"

struct lmdb_look;

/* Of an open engine, which outlives it. */
struct lmdb_look *lmdb_look_create(struct engine *e);
/* Of a data file that nobody writes. ERR_INVALID: of another version. ERR_DAMAGED, ERR_IO. Says why
 * in LMDB_TEXT_MAX bytes. */
MUST_CHECK enum err lmdb_look_open_file(const char *file, struct lmdb_look **out, char *why);
void lmdb_look_destroy(struct lmdb_look *l);

/* Begins to show what is durable now; needed before the first row. Scans must be refreshed, and rows
 * that were shown are gone. ERR_IO: see lmdb_look_why. */
MUST_CHECK enum err lmdb_look_renew(struct lmdb_look *l);
/* The moment is a second old. */
bool lmdb_look_is_old(struct lmdb_look *l);
/* For tests: every moment is old at once. */
void lmdb_look_be_restless(struct lmdb_look *l);
/* What LMDB said with the last ERR_IO, and whether it means that its pages are broken. */
const char *lmdb_look_why(const struct lmdb_look *l, bool *is_broken);

/* Rows are shown without their sums, which were checked. stored: with it. */
struct lmdb_row {
    struct str key, value, stored;
};
/* ERR_OK, ERR_NOT_FOUND, ERR_DAMAGED (its sum is wrong), ERR_IO. */
MUST_CHECK enum err lmdb_look_get(struct lmdb_look *l, enum store_db db, struct str key,
                                  struct lmdb_row *out);
/* Rows of a database, as LMDB counts them. */
uint64_t lmdb_look_count(struct lmdb_look *l, enum store_db db);
/* Bytes that the store takes, without what is free behind it. */
uint64_t lmdb_look_bytes(const struct lmdb_look *l);

/* A place in a database. status ERR_OK: at `row`. ERR_DAMAGED: at a row whose sum is wrong, of which
 * only the key is of use. ERR_NOT_FOUND: behind the last one. ERR_IO: nowhere. */
struct lmdb_scan {
    enum err status;
    struct lmdb_row row;

    /* Look only. */
    struct lmdb_look *look;
    enum store_db db;
    void *cursor;
    bool is_behind; /* of the row at `at`, whatever comes there */
    size_t at_len;
    char at[STORE_KEY_MAX];
};
/* At the first row at or behind the key. */
void lmdb_scan_begin(struct lmdb_scan *s, struct lmdb_look *l, enum store_db db, struct str key);
void lmdb_scan_seek(struct lmdb_scan *s, struct str key);
void lmdb_scan_next(struct lmdb_scan *s);
/* After a renewal: at the same row; at the one behind it if it is gone; or, from the end, at what
 * has come there. */
void lmdb_scan_refresh(struct lmdb_scan *s);
void lmdb_scan_end(struct lmdb_scan *s);
static inline bool lmdb_scan_has_key(const struct lmdb_scan *s)
{
    return s->status == ERR_OK || s->status == ERR_DAMAGED;
}

/* As lmdb_engine_walk. */
MUST_CHECK enum err lmdb_look_walk(struct lmdb_look *l, struct lmdb_walk *w);
/* LMDB's two meta pages belong together; a server may write meanwhile. */
MUST_CHECK bool lmdb_look_has_sound_metas(struct lmdb_look *l);
#endif
