#include "orderly/domain/pairs.h"
#include "orderly/base/bytes.h"
#include "orderly/base/check.h"

static void pairs_add_text(struct buf *packed, struct str s)
{
    REQUIRE(s.n <= UINT32_MAX);
    bytes_put_u32(buf_reserve(packed, 4), (uint32_t)s.n);
    packed->n += 4;
    buf_add_str(packed, s);
}

void pairs_add(struct buf *packed, struct str name, struct str value)
{
    pairs_add_text(packed, name);
    pairs_add_text(packed, value);
}

bool pairs_take(struct str *packed, struct str *name, struct str *value)
{
    struct bytes_reader r = bytes_reader_of(*packed);

    *name = bytes_read_str(&r);
    *value = bytes_read_str(&r);
    if (r.bad)
        return false;
    *packed = (struct str){ (const char *)r.at, (size_t)(r.end - r.at) };
    return true;
}
