/* The bytes of a request's body, always in one piece.
 *
 * A small body lies in the request's arena. A large one lies on the heap and grows with what has
 * come, never with what was announced, so that announcing costs the peer more than us. */
#include "conn.h"
#include "orderly/base/mem.h"

#define BODY_PAD 8 /* NUL bytes behind the body, for parsers that read ahead */
#define BODY_IN_ARENA_MAX 16384
#define BODY_FIRST 4096

void body_start(struct http_request *req, uint64_t expected)
{
    if (expected > 0 && expected <= BODY_IN_ARENA_MAX) {
        char *p = arena_alloc(&req->arena, (size_t)expected + BODY_PAD);

        memset(p + expected, 0, BODY_PAD);
        req->body.p = p;
        req->body_cap = (size_t)expected;
    }
}

void body_add(struct http_request *req, const char *p, size_t n)
{
    size_t len = req->body.n;

    if (n > req->body_cap - len) {
        size_t cap = req->body_cap > 0 ? req->body_cap : BODY_FIRST;
        char *old = req->heap_body;

        while (n > cap - len)
            cap *= 2;
        req->heap_body = mem_realloc(old, cap + BODY_PAD);
        if (old == NULL && len > 0)
            memcpy(req->heap_body, req->body.p, len);
        req->body.p = req->heap_body;
        req->body_cap = cap;
    }
    memcpy((char *)req->body.p + len, p, n);
    req->body.n = len + n;
    memset((char *)req->body.p + req->body.n, 0, BODY_PAD);
}
