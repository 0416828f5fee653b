/* UUID version 7 (RFC 9562 §5.7), printed in lower case. */
#ifndef ORDERLY_BASE_UUID_H
#define ORDERLY_BASE_UUID_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT_LEN 36

struct uuid {
    uint8_t b[16];
};

static inline bool uuid_eq(struct uuid a, struct uuid b)
{
    return memcmp(a.b, b.b, 16) == 0;
}
static inline bool uuid_is_nil(struct uuid u)
{
    static const struct uuid nil;

    return uuid_eq(u, nil);
}
static inline struct str uuid_bytes(const struct uuid *u)
{
    return (struct str){ (const char *)u->b, 16 };
}

/* Writes 36 characters, no NUL. */
void uuid_format(struct uuid u, char out[UUID_TEXT_LEN]);
/* Accepts exactly what uuid_format prints (lower case), any version; false otherwise. */
bool uuid_parse(struct str text, struct uuid *out);
/* Milliseconds of a version 7 UUID. */
int64_t uuid_time_ms(struct uuid u);

/* Makes UUIDs that strictly ascend, also when the clock stands still or goes back: within one
 * millisecond the random part counts on by a random step. */
struct uuid_maker {
    int64_t last_ms;
    uint8_t last[16];
};
struct uuid uuid_make(struct uuid_maker *m, int64_t wall_ms, const uint8_t random[10]);
#endif
