#include "orderly/base/digest.h"
#include "orderly/base/bytes.h"
#include <sodium.h>

static void digest_of(uint8_t *out, size_t out_len, const struct str *parts, unsigned n_parts)
{
    crypto_generichash_blake2b_state state;

    (void)crypto_generichash_blake2b_init(&state, NULL, 0, out_len);
    for (unsigned i = 0; i < n_parts; i++) {
        uint8_t len[8];

        bytes_put_u64(len, parts[i].n);
        (void)crypto_generichash_blake2b_update(&state, len, sizeof(len));
        if (parts[i].n)
            (void)crypto_generichash_blake2b_update(&state, (const uint8_t *)parts[i].p,
                                                    parts[i].n);
    }
    (void)crypto_generichash_blake2b_final(&state, out, out_len);
}

void digest16_of(struct digest16 *out, const struct str *parts, unsigned n_parts)
{
    digest_of(out->b, sizeof(out->b), parts, n_parts);
}

void digest32_of(struct digest32 *out, const struct str *parts, unsigned n_parts)
{
    digest_of(out->b, sizeof(out->b), parts, n_parts);
}

bool digest32_eq_const_time(const struct digest32 *a, const struct digest32 *b)
{
    return sodium_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}
