#include "orderly/app/reply.h"
#include "orderly/base/check.h"

const char *reply_code_text(enum reply_code c)
{
    static const char *const texts[] = {
#define X(name, code, status) code,
        REPLY_MAP(X)
#undef X
    };

    REQUIRE(c < REPLY_COUNT);
    return texts[c];
}

int reply_status(enum reply_code c)
{
    static const int statuses[] = {
#define X(name, code, status) status,
        REPLY_MAP(X)
#undef X
    };

    REQUIRE(c < REPLY_COUNT);
    return statuses[c];
}
