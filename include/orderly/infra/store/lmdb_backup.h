/* Copies a store while it is served: one moment of it, without what is free in it, verified after it
 * was written. Until the copy is done the original file can't use again what it gives back, so it
 * grows by what is written meanwhile.
 *
 * A server that is started on the copy begins a new epoch: positions behind that moment may have
 * been given out by the original as well. A copy that was cut short is a file that no server takes for
 * a store, nor for an empty directory. */
#ifndef ORDERLY_INFRA_STORE_LMDB_BACKUP_H
#define ORDERLY_INFRA_STORE_LMDB_BACKUP_H
#include "orderly/infra/store/lmdb_engine.h"

struct lmdb_backup {
    uint64_t last_position; /* 0: no events */
    uint8_t last_sum[16];   /* the end of the chain there: what tells this log from any other */
    uint64_t rows, bytes;   /* that were verified; of the file */
};

/* dest: a directory that is made, or holds no store. ERR_BUSY: it holds one. ERR_DAMAGED: the
 * original is damaged, and the copy is not kept. ERR_FULL, ERR_IO. Says why in report->why. Takes
 * time by history. Thread: any but the loop's. */
MUST_CHECK enum err lmdb_engine_backup(struct engine *e, const char *dest, struct lmdb_backup *out,
                                       struct lmdb_report *report);

/* After a backup whose process was ended: removes what it left. */
void lmdb_backup_tidy(const char *dest);
#endif
