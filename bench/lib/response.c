#include "response.h"
#include "orderly/base/check.h"
#include <string.h>
#include <strings.h>

struct head {
    int status;
    bool has_length;
    bool has_coding;
    bool has_body;
    uint64_t length;
};

void response_parser_init(struct response_parser *p, bool head_only, bool wants_location)
{
    memset(p, 0, sizeof(*p));
    p->head_only = head_only;
    p->wants_location = wants_location;
}

void response_parser_deinit(struct response_parser *p)
{
    buf_deinit(&p->cut_head);
}

void response_parser_reset(struct response_parser *p)
{
    p->in_body = false;
    p->body_left = 0;
    p->cut_head.n = 0;
}

static enum response_state refuse(struct response_parser *p, const char *why)
{
    p->refusal = why;
    return RESPONSE_REFUSED;
}

/* The end of the head that starts at `at`: behind its empty line, or NULL when that is not there. */
static const char *find_head_end(const char *at, const char *end)
{
    const char *line = at;

    for (;;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        if (!lf)
            return NULL;
        if (lf == line + 1 && *line == '\r')
            return lf + 1;
        line = lf + 1;
    }
}

static bool parse_number(const char *at, const char *end, uint64_t *number)
{
    uint64_t n = 0;

    if (at == end || end - at > 18)
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        n = n * 10 + (uint64_t)(*at - '0');
    }
    *number = n;
    return true;
}

static bool is_name(const char *at, const char *colon, const char *name, size_t name_n)
{
    return (size_t)(colon - at) == name_n && strncasecmp(at, name, name_n) == 0;
}

static bool parse_field(struct response_parser *p, struct head *h, const char *at, const char *end)
{
    const char *colon, *value;
    uint64_t number;

    switch (*at | 0x20) {
    case 'c':
    case 'l':
    case 'r':
    case 't':
        break;
    default:
        return true; /* none of the names below begins so */
    }
    colon = memchr(at, ':', (size_t)(end - at));
    if (!colon)
        return false;
    value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;

#define IS(name) is_name(at, colon, name, sizeof(name) - 1)
    if (IS("content-length")) {
        if (h->has_length || !parse_number(value, end, &h->length))
            return false;
        h->has_length = true;
    } else if (IS("transfer-encoding")) {
        h->has_coding = true;
    } else if (IS("connection")) {
        p->closes = end - value == 5 && strncasecmp(value, "close", 5) == 0;
    } else if (IS("retry-after")) {
        if (parse_number(value, end, &number) && number <= 3600)
            p->retry_after_s = (unsigned)number;
    } else if (p->wants_location && IS("location")) {
        size_t n = (size_t)(end - value);
        if (n <= sizeof(p->location)) {
            memcpy(p->location, value, n);
            p->location_n = n;
        }
    }
#undef IS
    return true;
}

static bool parse_head(struct response_parser *p, struct head *h, const char *at, const char *end)
{
    const char *lf = memchr(at, '\n', (size_t)(end - at));

    if (end - at < 14 || memcmp(at, "HTTP/1.", 7) != 0 || at[8] != ' ')
        return false;
    for (int i = 9; i < 12; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        h->status = h->status * 10 + (at[i] - '0');
    }
    for (const char *line = lf + 1; line < end - 2; line = lf + 1) {
        const char *line_end;
        lf = memchr(line, '\n', (size_t)(end - line));
        line_end = lf > line && lf[-1] == '\r' ? lf - 1 : lf;
        if (line_end > line && !parse_field(p, h, line, line_end))
            return false;
    }
    return true;
}

/* A whole head: decides how long the body is. */
static enum response_state take_head(struct response_parser *p, const char *at, const char *end)
{
    struct head h = { 0 };

    p->retry_after_s = 0;
    p->closes = false;
    p->location_n = 0;
    if (!parse_head(p, &h, at, end))
        return refuse(p, "not an HTTP/1 response head");
    p->status = h.status;
    if (h.status < 200) {
        if (h.status == 101)
            return refuse(p, "101 Switching Protocols is not supported");
        return RESPONSE_PARTIAL; /* an interim response: the real one follows */
    }
    h.has_body = !p->head_only && h.status != 204 && h.status != 304;
    if (h.has_body && h.has_coding)
        return refuse(p, "a response with Transfer-Encoding is not supported");
    if (h.has_body && !h.has_length)
        return refuse(p, "a response without Content-Length is not supported");
    p->in_body = true;
    p->body_left = h.has_body ? h.length : 0;
    return RESPONSE_PARTIAL;
}

/* Takes bytes up to the end of a head. A cut head is put together in cut_head first. */
static enum response_state step_head(struct response_parser *p, const char **at, const char *end)
{
    enum response_state state;
    const char *head_end;
    size_t before = p->cut_head.n;

    if (before == 0) {
        head_end = find_head_end(*at, end);
        if (head_end) {
            state = take_head(p, *at, head_end);
            *at = head_end;
            return state;
        }
    }
    /* Never more than the limit is copied, so what lies behind the head is not moved twice. */
    {
        size_t room = RESPONSE_HEAD_MAX - before;
        size_t n = (size_t)(end - *at) < room ? (size_t)(end - *at) : room;
        buf_add(&p->cut_head, *at, n);
        head_end = find_head_end(p->cut_head.p, p->cut_head.p + p->cut_head.n);
        if (!head_end && p->cut_head.n == RESPONSE_HEAD_MAX)
            return refuse(p, "the response head is too long");
        if (!head_end) {
            *at += n;
            return RESPONSE_PARTIAL;
        }
        *at += (size_t)(head_end - p->cut_head.p) - before;
        state = take_head(p, p->cut_head.p, head_end);
        p->cut_head.n = 0;
        return state;
    }
}

enum response_state response_parse(struct response_parser *p, const char **at, const char *end)
{
    REQUIRE(*at <= end);
    for (;;) {
        if (p->in_body) {
            uint64_t here = (uint64_t)(end - *at);
            uint64_t n = here < p->body_left ? here : p->body_left;
            *at += n;
            p->body_left -= n;
            if (p->body_left > 0)
                return RESPONSE_PARTIAL;
            p->in_body = false;
            return RESPONSE_COMPLETE;
        }
        if (*at == end)
            return RESPONSE_PARTIAL;
        if (step_head(p, at, end) == RESPONSE_REFUSED)
            return RESPONSE_REFUSED;
    }
}
