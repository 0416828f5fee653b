/* Histories of a whole shop, made by an app on virtual time, for who reads them afterwards. */
#ifndef TESTS_SUPPORT_HISTORY_H
#define TESTS_SUPPORT_HISTORY_H
#include "support/app_fixture.h"
#include "support/chance.h"
#include "support/lmdb_store.h"

/* Both flows to their ends and into every failure, outside contexts right and wrong, carts, products,
 * stored answers; some orders are left open, one lane waits for a retry and one is parked. About 250
 * events. */
void history_of_all(struct app_fixture *f);

/* Anything that somebody could do next, or a while passes. n: of the steps before, for ids. */
void history_step(struct app_fixture *f, struct chance *c, unsigned n);

/* Copies all rows of an engine into a store that was just initialised, and closes it. */
void history_to_disk(struct engine *from, struct lmdb_store *to);
#endif
