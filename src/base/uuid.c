#include "orderly/base/uuid.h"
#include "orderly/base/bytes.h"

#define UUID_MS_MAX ((INT64_C(1) << 48) - 1)
#define UUID_A_MAX 0xFFFu                    /* rand_a: 12 bits */
#define UUID_B_MAX ((UINT64_C(1) << 62) - 1) /* rand_b: 62 bits */

static bool uuid_is_dash(unsigned i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void uuid_format(struct uuid u, char out[UUID_TEXT_LEN])
{
    static const char digits[16] = { '0', '1', '2', '3', '4', '5', '6', '7',
                                     '8', '9', 'a', 'b', 'c', 'd', 'e', 'f' };
    /* Where each byte's two digits go; a straight run, since every event prints one. */
    static const uint8_t places[16] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34 };

    for (unsigned i = 0; i < 16; i++) {
        out[places[i]] = digits[u.b[i] >> 4];
        out[places[i] + 1] = digits[u.b[i] & 15];
    }
    out[8] = out[13] = out[18] = out[23] = '-';
}

static int uuid_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool uuid_parse(struct str text, struct uuid *out)
{
    struct uuid u;
    unsigned at = 0;

    if (text.n != UUID_TEXT_LEN)
        return false;
    for (unsigned i = 0; i < 16; i++) {
        int high;
        int low;

        if (uuid_is_dash(at) && text.p[at++] != '-')
            return false;
        high = uuid_digit(text.p[at++]);
        low = uuid_digit(text.p[at++]);
        if (high < 0 || low < 0)
            return false;
        u.b[i] = (uint8_t)(high << 4 | low);
    }
    *out = u;
    return true;
}

int64_t uuid_time_ms(struct uuid u)
{
    return (int64_t)(bytes_get_u64(u.b) >> 16);
}

struct uuid uuid_make(struct uuid_maker *m, int64_t wall_ms, const uint8_t random[10])
{
    struct uuid u;
    uint64_t a;
    uint64_t b;

    if (wall_ms < 0)
        wall_ms = 0;
    if (wall_ms > UUID_MS_MAX)
        wall_ms = UUID_MS_MAX;
    memcpy(u.b, m->last, sizeof(u.b));
    if (wall_ms > m->last_ms || uuid_is_nil(u)) {
        m->last_ms = wall_ms;
        a = bytes_get_u16(random) & UUID_A_MAX;
        b = bytes_get_u64(random + 2) & UUID_B_MAX;
    } else {
        /* 74 bits count on by 1 to 2^32; a carry out of them borrows the next millisecond. */
        a = bytes_get_u16(u.b + 6) & UUID_A_MAX;
        b = (bytes_get_u64(u.b + 8) & UUID_B_MAX) + bytes_get_u32(random) + 1;
        a += b >> 62;
        b &= UUID_B_MAX;
        if (a > UUID_A_MAX) {
            a &= UUID_A_MAX;
            m->last_ms++;
        }
    }
    bytes_put_u64(u.b, (uint64_t)m->last_ms << 16 | UINT64_C(0x7000) | a);
    bytes_put_u64(u.b + 8, UINT64_C(1) << 63 | b);
    memcpy(m->last, u.b, sizeof(u.b));
    return u;
}
