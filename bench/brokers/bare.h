/* What the bare clients share: their messages, their command line, and the form of the figures.
 *
 * A file of messages has one in a line: topic, id, order's id and body, with tabs between; a body is
 * JSON in one line. More are published than there are by going round, each time with other ids. */
#ifndef BENCH_BROKERS_BARE_H
#define BENCH_BROKERS_BARE_H
#include "orderly/base/str.h"
#include <stdbool.h>
#include <stdint.h>

#define BARE_WINDOW 4096u /* messages in the air, as a relay has unless told otherwise */
#define BARE_TEXT_MAX 256u
#define BARE_WAIT_S 120 /* for the broker's next word */

#define BARE_LOG "00000000000000000000000000000000" /* as the header orderly-origin names a log */
#define BARE_ORIGIN_MAX (sizeof(BARE_LOG) + 1 + BARE_TEXT_MAX)

struct bare_message {
    char topic[BARE_TEXT_MAX], id[BARE_TEXT_MAX], order_id[BARE_TEXT_MAX];
    struct str body; /* of the file */
};

struct bare {
    uint16_t port; /* of 127.0.0.1 */
    uint64_t count;
    struct str text, rest; /* the file, and what is left of it in this round */
    struct bare_message m; /* the current one */
    uint64_t n, bytes;     /* so many were given out, with so many bytes in their bodies */
    uint64_t began_ns;
};

/* NAME PORT FILE COUNT. Ends the process with 2 where that is not what the line says. */
void bare_begin(struct bare *b, int argc, char **argv);
/* The clock is started by the first. False: there were `count` of them. */
bool bare_next(struct bare *b);
/* What a relay's header orderly-origin says beside the message. */
void bare_origin(const struct bare_message *m, char out[static BARE_ORIGIN_MAX]);
/* Prints one line of JSON: messages, bytes, seconds, acked_per_s. All were acknowledged. */
void bare_print(const struct bare *b);
/* Ends the process with 1. */
_Noreturn void bare_fail(const char *what, const char *why);
#endif
