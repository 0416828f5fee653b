/* One request to the shop, and its answer read strictly. */
#ifndef TESTS_FUZZ_ASK_H
#define TESTS_FUZZ_ASK_H
#include "answers.h"
#include "shop.h"

struct asked {
    struct answer_seen answer; /* views into the shop and `joined`, good until the next ask */
    struct buf joined;
};

/* is_stream: the answer may have no end, since we hang up. */
void ask(struct shop *s, struct asked *a, struct str line, struct str headers, struct str body,
         bool is_stream);
void asked_deinit(struct asked *a);

/* Appends the bytes as a query or a path may have them: what would end the request line, and what
 * is no ASCII, is escaped. */
void ask_add_escaped(struct buf *out, struct str bytes);
/* Appends one line for each line of the value, without what would end it otherwise. */
void ask_add_header(struct buf *out, const char *name, struct str value);
#endif
