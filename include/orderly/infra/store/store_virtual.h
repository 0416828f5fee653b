/* The store port without threads, for tests and the simulator: nothing happens until the caller
 * says so. Writes wait until store_virtual_run commits them, reads until store_virtual_run_reads.
 * No libuv, no clock; not thread safe. */
#ifndef ORDERLY_INFRA_STORE_STORE_VIRTUAL_H
#define ORDERLY_INFRA_STORE_STORE_VIRTUAL_H
#include "orderly/infra/store/engine.h"

#define STORE_VIRTUAL_ALL UINT32_MAX

struct store_virtual {
    struct store port;
    struct engine *engine; /* borrowed */

    /* May be set by the owner at any time. */
    void (*on_fatal)(void *ctx, enum err why); /* NULL: a failure of that kind stops the process */
    void *fatal_ctx;
    bool reads_are_late; /* what is_late answers */

    /* Store only. */
    struct list writes_waiting, reads_waiting;
    uint32_t n_writes, n_reads;
    uint64_t commits, commit_events;
    uint32_t batch_events_last;
    struct commit_stats opened; /* their durations are 0 */
    uint32_t fail_in;           /* 0: none; 1: the next write fails */
    enum err fail_with;
    bool is_broken;
};

void store_virtual_init(struct store_virtual *s, struct engine *engine);
/* Nothing may wait. */
void store_virtual_deinit(struct store_virtual *s);

/* Commits the first n waiting writes (or all there are) as one batch and tells on_written. Returns
 * how many came back, failed ones included; 0 if none waits. When one of them fails with ERR_FULL
 * those before it are committed, and it and all that wait behind it, also beyond n, come back with
 * ERR_FULL. Writes that on_written starts wait for the next call. */
uint32_t store_virtual_run(struct store_virtual *s, uint32_t n);
/* Runs the first n waiting reads, oldest first, and calls their done. Returns how many. */
uint32_t store_virtual_run_reads(struct store_virtual *s, uint32_t n);

/* The nth write from now on to be committed (1: the next) fails with `why`: ERR_FULL as the engine
 * would say it, anything else as fatal. 0 takes it back. */
void store_virtual_fail_write(struct store_virtual *s, uint32_t nth, enum err why);

/* As if the process had ended now: forgets what waits, without a word to anybody. The engine keeps
 * what was committed. */
void store_virtual_forget(struct store_virtual *s);
#endif
