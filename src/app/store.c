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
