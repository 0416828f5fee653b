/* BLAKE2b (RFC 7693) by libsodium, and a comparison whose time does not depend on the contents. */
#ifndef ORDERLY_BASE_DIGEST_H
#define ORDERLY_BASE_DIGEST_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

struct digest16 {
    uint8_t b[16];
};
struct digest32 {
    uint8_t b[32];
};

/* Sum over the parts, each prefixed by its length (so that parts can't run into each other). */
void digest16_of(struct digest16 *out, const struct str *parts, unsigned n_parts);
void digest32_of(struct digest32 *out, const struct str *parts, unsigned n_parts);
bool digest32_eq_const_time(const struct digest32 *a, const struct digest32 *b);
#endif
