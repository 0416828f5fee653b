/* A store with everything round it, in several make-ups: each engine under each adapter. Tests that
 * must hold for all of them take a rig and do not ask which one it is.
 *
 * To add an engine: one more struct rig_engine, and its rows in rig_kinds. */
#ifndef TESTS_SUPPORT_STORE_RIG_H
#define TESTS_SUPPORT_STORE_RIG_H
#include "orderly/app/store.h"
#include "orderly/infra/store/store_thread.h"
#include "orderly/infra/store/store_virtual.h"
#include <uv.h>

/* ---- a write and what became of it --------------------------------------------- */

#define A_WRITE_ROWS_MAX 8

struct a_write {
    struct store_write write;
    struct store_row rows[A_WRITE_ROWS_MAX];
    char numbers[A_WRITE_ROWS_MAX][8];
    unsigned id;   /* set by the test */
    unsigned back; /* how often it came back */
};

struct a_write *a_write_create(unsigned id);
void a_write_destroy(struct a_write *w);
/* Keys and values stay the caller's and stay put. */
void a_write_put(struct a_write *w, enum store_db db, struct str key, struct str value);
void a_write_delete(struct a_write *w, enum store_db db, struct str key);
void a_write_event(struct a_write *w, uint64_t position, struct str value);

/* ---- the rig ---------------------------------------------------------------------- */

struct rig;

struct rig_engine {
    /* small: full after RIG_SMALL_EVENTS events. */
    struct engine *(*create)(bool small);
    void (*destroy)(struct engine *e);
};
#define RIG_SMALL_EVENTS 100

struct rig_adapter {
    void (*open)(struct rig *r);
    void (*close)(struct rig *r);
    /* Does a little; called again and again until all has come back. */
    void (*step)(struct rig *r);
};

struct rig_kind {
    const char *name;
    const struct rig_engine *engine;
    const struct rig_adapter *adapter;
};
extern const struct rig_kind rig_kinds[];
extern const unsigned rig_kinds_len;

struct rig {
    const struct rig_kind *kind;
    struct engine *engine;
    struct store *store;
    struct arena arena; /* what reads found */
    unsigned n_started, n_back;
    unsigned n_reads;            /* started and not done */
    struct a_write *back[20000]; /* in the order in which they came back */
    /* May be set by the test: called for each write that comes back. */
    void (*on_back)(struct rig *r, struct a_write *w);

    struct store_virtual virt;
    uv_loop_t loop;
    struct store_thread *thread;
    bool is_closed;
};

struct rig *rig_open(const struct rig_kind *kind, bool small);
/* Nothing may be on its way. */
void rig_close(struct rig *r);

MUST_CHECK enum err rig_try_start(struct rig *r, struct a_write *w);
void rig_start(struct rig *r, struct a_write *w); /* must be taken */
/* Until every write and read is back. */
void rig_settle(struct rig *r);
/* Starts it, settles, destroys it, and says how it went. */
enum err rig_write(struct rig *r, struct a_write *w);
struct store_stats rig_stats(struct rig *r);

/* One read each. What they find stays until the rig is closed. */
enum err rig_get(struct rig *r, enum store_db db, struct str key, struct str *value);
enum err rig_seek(struct rig *r, enum store_db db, enum store_seek how, struct str key,
                  struct str *found_key, struct str *value);
#endif
