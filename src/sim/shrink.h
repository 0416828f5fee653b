/* Makes a failing run smaller: fewer orders, fewer kinds of faults, fewer crashes, as long as the same
 * invariant breaks, or the server ends itself. */
#ifndef SRC_SIM_SHRINK_H
#define SRC_SIM_SHRINK_H
#include "sim.h"

#define SHRINK_RUNS_MAX 80

/* In place of an invariant: a failed check of the server ends the run. */
#define SHRINK_ENDED SIM_INVARIANT_COUNT

/* config breaks the invariant, and still does so when this returns. Returns the number of runs, each in
 * a process of its own. */
unsigned shrink(struct sim_config *config, enum sim_invariant broken);
#endif
