#include "orderly/app/store.h"

const char *store_db_name(enum store_db db)
{
    static const char *const names[] = {
#define X(name, what) #name,
        STORE_DB_MAP(X)
#undef X
    };

    REQUIRE(db < STORE_DB_COUNT);
    return names[db];
}

void commit_stats_add(struct commit_stats *s, int64_t us, uint32_t n_events)
{
    unsigned i = 0;

    while (i < COMMIT_SIZES - 1 && n_events > 1u << i)
        i++;
    s->by_size[i]++;
    s->events += n_events;
    histogram_add(&s->duration, us);
}
