/* Watches the framing of a chunked body before the parser sees it, because the parser bounds
 * neither extensions and trailers nor the digits of a size. */
#ifndef ORDERLY_INFRA_HTTP_CHUNKS_H
#define ORDERLY_INFRA_HTTP_CHUNKS_H
#include "orderly/infra/http/http.h"

#define CHUNK_DIGITS_MAX 16 /* leading zeros included */

enum chunks_result {
    CHUNKS_MORE,  /* all n bytes belong to the body */
    CHUNKS_DONE,  /* the first *used bytes are the rest of it */
    CHUNKS_FAULT, /* w->fault */
};

enum chunks_place {
    CHUNKS_SIZE,
    CHUNKS_EXTENSION,
    CHUNKS_SIZE_LF,
    CHUNKS_DATA,
    CHUNKS_DATA_CR,
    CHUNKS_DATA_LF,
    CHUNKS_TRAILER_START, /* at the start of a line after the last chunk */
    CHUNKS_TRAILER,       /* inside one */
    CHUNKS_TRAILER_LF,
    CHUNKS_END_LF,
};

struct chunks {
    enum chunks_place place;
    unsigned digits;
    uint64_t left;               /* of the chunk */
    uint64_t total;              /* of the body so far, the announced chunk included */
    size_t extensions, trailers; /* bytes */
    enum http_fault fault;
};

static inline void chunks_init(struct chunks *w)
{
    *w = (struct chunks){ .place = CHUNKS_SIZE };
}

/* Extensions are counted from their semicolon to the line end, trailers as whole lines with their
 * CRLF. A chunk that takes the body beyond body_max is HTTP_FAULT_BODY_SIZE as soon as its size is
 * known. */
enum chunks_result chunks_watch(struct chunks *w, const char *p, size_t n, uint64_t body_max,
                                const struct http_limits *limits, size_t *used);
#endif
