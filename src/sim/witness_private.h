/* What the files of the witness share. */
#ifndef SRC_SIM_WITNESS_PRIVATE_H
#define SRC_SIM_WITNESS_PRIVATE_H
#include "witness.h"

struct witness {
    struct witness_config config;
    struct bus *bus; /* of the process that runs */
    int64_t mono_us, wall_ms;
    bool is_violated;
    struct sim_violation violation; /* the first */
    struct witness_counts counts;
};

/* Something does not hold. The first one is kept; order: NULL where it is about none. */
void witness_violate(struct witness *w, enum sim_invariant i, const struct order_id *order,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
#endif
