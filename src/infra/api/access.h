/* Who may: bearer tokens with roles, and where an unsafe request may come from.
 *
 * A token is known by its hash only. Refused ones are counted, and beyond a few a second answered
 * late, so that guessing is slow and told of. */
#ifndef ORDERLY_INFRA_API_ACCESS_H
#define ORDERLY_INFRA_API_ACCESS_H
#include "orderly/base/digest.h"
#include "orderly/base/err.h"
#include "orderly/base/str.h"
#include "orderly/domain/ids.h"
#include "orderly/infra/secret/secret_file.h"

/* Bits, since a route may be open to more than one. */
enum role { ROLE_CUSTOMER = 1, ROLE_CONTEXT = 2, ROLE_OPERATOR = 4 };
#define ROLE_ANYBODY 0u

#define ACCESS_TOKENS_MAX 64
#define ACCESS_TOKEN_BYTES_MAX 512
#define ACCESS_FILE_MAX 65536
#define ACCESS_FAILURES_AT_ONCE 10 /* a second; later ones wait */
#define ACCESS_DELAY_MS 1000
#define ACCESS_DELAYED_MAX 1000 /* more are answered at once */

struct access_token {
    struct digest32 hash;
    enum role role;
    struct text_id name; /* of the caller; n == 0: the role's */
};
struct access {
    bool is_on; /* false: everybody is operator */
    unsigned n_tokens;
    struct access_token tokens[ACCESS_TOKENS_MAX];
    uint64_t missing, refused, forbidden; /* failures, for metrics */
    int64_t window_ms;                    /* the second that is being counted */
    unsigned in_window, delayed;
};

/* Parses the text of a token file; all or nothing. why: room for a text for people. */
#define ACCESS_WHY_MAX SECRET_FILE_WHY_MAX
MUST_CHECK enum err access_parse(struct access *a, struct str text, char why[ACCESS_WHY_MAX]);
/* Reads it from a file that nobody else may read or write. */
MUST_CHECK enum err access_load(struct access *a, const char *path, char why[ACCESS_WHY_MAX]);

enum access_result { ACCESS_FINE, ACCESS_NO_TOKEN, ACCESS_BAD_TOKEN, ACCESS_FORBIDDEN };
/* authorization: the header's value, empty if there is none. roles: of the route. *caller: role and
 * name, part of an Idempotency-Key; a rotated token with the same name is the same caller. */
enum access_result access_check(struct access *a, struct str authorization, unsigned roles,
                                enum role *role, struct text_id *caller);
/* Counts a failure. True: the answer should wait (access_delay). */
bool access_count_failure(struct access *a, enum access_result result, int64_t now_ms);
/* Takes a place among the answers that wait ACCESS_DELAY_MS; access_undelay gives it back. False:
 * all are taken. */
bool access_delay(struct access *a);
void access_undelay(struct access *a);

/* May a page of this origin send unsafe requests to a server that was reached as host? */
bool access_origin_is_fine(struct str origin, struct str host, const struct str *origins,
                           unsigned n_origins);
#endif
