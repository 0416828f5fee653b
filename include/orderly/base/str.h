/* A view of bytes that somebody else owns; not terminated. */
#ifndef ORDERLY_BASE_STR_H
#define ORDERLY_BASE_STR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *c)
{
    return (struct str){ c, strlen(c) };
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_starts_with(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_eq_nocase(struct str a, struct str b);
struct str str_trim(struct str s); /* blanks and tabs at both ends */

/* Decimal digits only, no sign, no blanks, no overflow; false otherwise. */
bool str_to_u64(struct str s, uint64_t *out);

/* Well-formed UTF-8 without surrogates and without overlong forms (RFC 3629). */
bool str_is_utf8(struct str s);
/* Count of Unicode code points of well-formed UTF-8. */
size_t str_utf8_len(struct str s);
#endif
