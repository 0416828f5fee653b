/* Makes a failing run smaller: fewer orders, fewer kinds of faults, fewer crashes, as long as the same
 * invariant breaks. */
#ifndef SRC_SIM_SHRINK_H
#define SRC_SIM_SHRINK_H
#include "sim.h"

#define SHRINK_RUNS_MAX 80

/* config breaks the invariant, and still does so when this returns. Returns the number of runs. */
unsigned shrink(struct sim_config *config, enum sim_invariant broken);
#endif
