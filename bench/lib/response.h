/* Just enough of an HTTP/1.1 response: where it ends, its status, and the three headers that a load
 * generator acts on. Works on bytes as they arrive, split anywhere; a whole response in one piece is
 * read where it lies, only a head that was cut is copied.
 *
 * A response without Content-Length is refused aloud rather than guessed at: a chunked one, or one that
 * ends with the connection, would need work that is then missing where the measured server runs. */
#ifndef BENCH_LIB_RESPONSE_H
#define BENCH_LIB_RESPONSE_H
#include "orderly/base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RESPONSE_HEAD_MAX = 16 * 1024,
    RESPONSE_LOCATION_MAX = 256,
};

enum response_state {
    RESPONSE_PARTIAL,  /* all bytes were taken, the response goes on */
    RESPONSE_COMPLETE, /* one whole response was taken, its fields hold until the next call */
    RESPONSE_REFUSED, /* not a response that this parser reads, see refusal; close the connection */
};

struct response_parser {
    /* Set by the caller. */
    bool head_only; /* answers to HEAD have no body */
    bool wants_location;

    /* The response read last. */
    int status;
    unsigned retry_after_s; /* 0 when the header is absent */
    bool closes;            /* Connection: close */
    char location[RESPONSE_LOCATION_MAX];
    size_t location_n; /* 0 when absent, not wanted or longer than the array */
    const char *refusal;

    /* Private. */
    bool in_body;
    uint64_t body_left;
    struct buf cut_head;
};

void response_parser_init(struct response_parser *p, bool head_only, bool wants_location);
void response_parser_deinit(struct response_parser *p);
/* Forgets a half-read response, for a new connection. */
void response_parser_reset(struct response_parser *p);
/* Takes bytes from *at up to end, at most to the end of one response, and moves *at behind them. */
enum response_state response_parse(struct response_parser *p, const char **at, const char *end);
#endif
