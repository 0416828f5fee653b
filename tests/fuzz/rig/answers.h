/* What the server sends, read strictly: anything that RFC 9112 would not let through, or that our
 * own documentation does not name, is a finding. */
#ifndef TESTS_FUZZ_ANSWERS_H
#define TESTS_FUZZ_ANSWERS_H
#include "orderly/base/buf.h"
#include "orderly/base/str.h"
#include <stdbool.h>

struct answer_seen {
    int status;
    struct str head;  /* status line and fields, with the empty line */
    struct str body;  /* as it was meant: chunks are put together in `joined` */
    bool is_interim;  /* 100 */
    bool is_bodiless; /* a length is named and no body follows: an answer to HEAD */
    bool is_cut;      /* ends before its end */
    bool closes;      /* Connection: close */
};

/* Takes the next answer off *rest. may_be_cut: the connection ended early, by us. joined: room for a
 * body that came in chunks. */
void answer_take(struct str *rest, bool may_be_cut, struct buf *joined, struct answer_seen *out);

/* The value of a field; n == 0: it is not there. It must not be there twice. */
struct str answer_field(const struct answer_seen *a, const char *name);

/* The status and the code are among the documented ones, JSON is JSON, a problem is whole. */
void answer_check(const struct answer_seen *a);
#endif
