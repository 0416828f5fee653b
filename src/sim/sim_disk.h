/* An engine around another one that fails when it is told to, and tells what has become durable. It
 * survives the crashes of the process that writes to it. */
#ifndef SRC_SIM_DISK_H
#define SRC_SIM_DISK_H
#include "orderly/infra/store/engine.h"

/* What the next commits meet. */
enum sim_disk_mood {
    SIM_DISK_FINE,
    SIM_DISK_FULL,
    SIM_DISK_FAILS_BEFORE, /* nothing of the batch is written, and the writer is told that it failed */
    SIM_DISK_FAILS_AFTER /* all of it is written, and the writer is told that it failed */
};

struct sim_disk {
    struct engine engine;
    struct engine *inner; /* owned */
    enum sim_disk_mood mood;
    /* These groups are durable now. Called with the system's memory in use. */
    void (*committed)(void *ctx, const struct list *writes);
    void *ctx;
};

void sim_disk_init(struct sim_disk *d);
void sim_disk_deinit(struct sim_disk *d);
#endif
