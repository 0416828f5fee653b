#include "chunks.h"
#include "head.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool fail(struct chunks *w, enum http_fault fault)
{
    w->fault = fault;
    return false;
}

static bool take_size_char(struct chunks *w, char c, uint64_t body_max,
                           const struct http_limits *limits)
{
    int value = hex_value(c);

    if (value >= 0) {
        if (w->digits == CHUNK_DIGITS_MAX)
            return fail(w, HTTP_FAULT_CHUNK);
        w->digits++;
        w->left = w->left * 16 + (uint64_t)value;
        return true;
    }
    if (w->digits == 0 || (c != '\r' && c != ';'))
        return fail(w, HTTP_FAULT_CHUNK);
    if (w->left > body_max || w->total + w->left > body_max)
        return fail(w, HTTP_FAULT_BODY_SIZE);
    w->total += w->left;
    w->place = c == '\r' ? CHUNKS_SIZE_LF : CHUNKS_EXTENSION;
    if (c == ';' && ++w->extensions > limits->chunk_extensions_max)
        return fail(w, HTTP_FAULT_CHUNK_EXTENSIONS);
    return true;
}

static bool count_trailer(struct chunks *w, const struct http_limits *limits)
{
    if (++w->trailers > limits->trailers_max)
        return fail(w, HTTP_FAULT_TRAILERS);
    return true;
}

/* A byte that is not data. False: fault. */
static bool take(struct chunks *w, char c, uint64_t body_max, const struct http_limits *limits)
{
    switch (w->place) {
    case CHUNKS_SIZE:
        return take_size_char(w, c, body_max, limits);
    case CHUNKS_EXTENSION:
        if (c == '\r')
            w->place = CHUNKS_SIZE_LF;
        else if (++w->extensions > limits->chunk_extensions_max)
            return fail(w, HTTP_FAULT_CHUNK_EXTENSIONS);
        return c != '\n' || fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_SIZE_LF:
        w->place = w->left > 0 ? CHUNKS_DATA : CHUNKS_TRAILER_START;
        w->digits = 0;
        return c == '\n' || fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_DATA:
        break;
    case CHUNKS_DATA_CR:
        w->place = CHUNKS_DATA_LF;
        return c == '\r' || fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_DATA_LF:
        w->place = CHUNKS_SIZE;
        return c == '\n' || fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_TRAILER_START:
        if (c == '\r') {
            w->place = CHUNKS_END_LF;
            return true;
        }
        w->place = CHUNKS_TRAILER;
        return head_is_token_char(c) ? count_trailer(w, limits) : fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_TRAILER:
        if (c == '\r')
            w->place = CHUNKS_TRAILER_LF;
        return c != '\n' ? count_trailer(w, limits) : fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_TRAILER_LF:
        w->place = CHUNKS_TRAILER_START;
        return c == '\n' ? count_trailer(w, limits) : fail(w, HTTP_FAULT_CHUNK);
    case CHUNKS_END_LF:
        return c == '\n' || fail(w, HTTP_FAULT_CHUNK);
    }
    UNREACHABLE("place of a chunked body");
}

enum chunks_result chunks_watch(struct chunks *w, const char *p, size_t n, uint64_t body_max,
                                const struct http_limits *limits, size_t *used)
{
    size_t at = 0;

    while (at < n) {
        if (w->place == CHUNKS_DATA) {
            size_t step = n - at < w->left ? n - at : (size_t)w->left;

            at += step;
            w->left -= step;
            if (w->left == 0)
                w->place = CHUNKS_DATA_CR;
            continue;
        }
        if (!take(w, p[at], body_max, limits))
            return CHUNKS_FAULT;
        if (w->place == CHUNKS_END_LF && p[at] == '\n') {
            *used = at + 1;
            return CHUNKS_DONE;
        }
        at++;
    }
    *used = n;
    return CHUNKS_MORE;
}
