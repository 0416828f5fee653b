/* An answer as bytes: one reservation, then copies. */
#include "conn.h"
#include "orderly/base/timetext.h"

#define PHRASE_MAP(X)                                                                              \
    X(200, "OK")                                                                                   \
    X(201, "Created")                                                                              \
    X(202, "Accepted")                                                                             \
    X(204, "No Content")                                                                           \
    X(301, "Moved Permanently")                                                                    \
    X(303, "See Other")                                                                            \
    X(304, "Not Modified")                                                                         \
    X(307, "Temporary Redirect")                                                                   \
    X(308, "Permanent Redirect")                                                                   \
    X(400, "Bad Request")                                                                          \
    X(401, "Unauthorized")                                                                         \
    X(403, "Forbidden")                                                                            \
    X(404, "Not Found")                                                                            \
    X(405, "Method Not Allowed")                                                                   \
    X(406, "Not Acceptable")                                                                       \
    X(408, "Request Timeout")                                                                      \
    X(409, "Conflict")                                                                             \
    X(410, "Gone")                                                                                 \
    X(411, "Length Required")                                                                      \
    X(412, "Precondition Failed")                                                                  \
    X(413, "Content Too Large")                                                                    \
    X(414, "URI Too Long")                                                                         \
    X(415, "Unsupported Media Type")                                                               \
    X(417, "Expectation Failed")                                                                   \
    X(421, "Misdirected Request")                                                                  \
    X(422, "Unprocessable Content")                                                                \
    X(428, "Precondition Required")                                                                \
    X(429, "Too Many Requests")                                                                    \
    X(431, "Request Header Fields Too Large")                                                      \
    X(500, "Internal Server Error")                                                                \
    X(501, "Not Implemented")                                                                      \
    X(503, "Service Unavailable")                                                                  \
    X(505, "HTTP Version Not Supported")

/* The longest of the fixed parts together: status line, Date, Content-Length, Transfer-Encoding,
 * Connection, names and line ends. */
#define FIXED_MAX 256

static struct str phrase_of(int status)
{
    switch (status) {
#define X(code, phrase)                                                                            \
    case code:                                                                                     \
        return STR(phrase);
        PHRASE_MAP(X)
#undef X
    default:
        return STR("Status"); /* RFC 9112 §4: no recipient minds */
    }
}

static char *put(char *at, struct str s)
{
    if (s.n > 0)
        memcpy(at, s.p, s.n);
    return at + s.n;
}

/* A control character here would let a value that came from outside write fields of its own. */
static char *put_clean(char *at, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        *at++ = (char)((c < 0x20 && c != '\t') || c == 0x7f ? ' ' : c);
    }
    return at;
}

static char *put_field(char *at, struct str name, struct str value)
{
    at = put(at, name); /* names are ours */
    at = put(at, STR(": "));
    at = put_clean(at, value);
    return put(at, STR("\r\n"));
}

static char *put_number(char *at, size_t v)
{
    char digits[24];
    size_t n = sizeof(digits);

    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return put(at, (struct str){ digits + n, sizeof(digits) - n });
}

static char *put_status_line(char *at, int status)
{
    at = put(at, STR("HTTP/1.1 "));
    *at++ = (char)('0' + status / 100);
    *at++ = (char)('0' + status / 10 % 10);
    *at++ = (char)('0' + status % 10);
    *at++ = ' ';
    at = put(at, phrase_of(status));
    return put(at, STR("\r\n"));
}

static char *put_date(char *at, struct http_server *s)
{
    if (!s->date_is_fresh) {
        int64_t now_s = scheduler_wall_ms(s->config.clock) / 1000;

        if (now_s != s->date_s) {
            timetext_format_http(now_s * 1000, s->date);
            s->date_s = now_s;
        }
        s->date_is_fresh = true;
    }
    at = put(at, STR("Date: "));
    at = put(at, (struct str){ s->date, TIMETEXT_HTTP_LEN });
    return put(at, STR("\r\n"));
}

static size_t size_max(const struct http_response *res)
{
    size_t n = FIXED_MAX + res->content_type.n + res->body.n;

    for (unsigned i = 0; i < res->n_headers; i++)
        n += res->headers[i].name.n + res->headers[i].value.n + 4;
    return n;
}

void answer_write_continue(struct http_server *s, struct http_buf *b)
{
    struct str text = STR("HTTP/1.1 100 Continue\r\n\r\n");

    output_add(s, b, text.p, text.n);
}

void answer_write(struct http_request *req, const struct http_response *res,
                  enum answer_framing framing)
{
    struct http_server *s = req->server;
    struct http_buf *b = request_output(req);
    bool has_length = framing == ANSWER_LENGTH && res->status != 204 && res->status != 304;
    char *start = output_reserve(s, b, size_max(res));
    char *at = put_status_line(start, res->status);

    at = put_date(at, s);
    if (res->content_type.n > 0)
        at = put_field(at, STR("Content-Type"), res->content_type);
    if (has_length) {
        at = put(at, STR("Content-Length: "));
        at = put_number(at, res->body.n);
        at = put(at, STR("\r\n"));
    }
    if (framing == ANSWER_CHUNKED)
        at = put(at, STR("Transfer-Encoding: chunked\r\n"));
    for (unsigned i = 0; i < res->n_headers; i++)
        at = put_field(at, res->headers[i].name, res->headers[i].value);
    if (req->closes_after)
        at = put(at, STR("Connection: close\r\n"));
    else if (req->version_minor == 0)
        at = put(at, STR("Connection: keep-alive\r\n"));
    at = put(at, STR("\r\n"));
    if (has_length && !req->is_head)
        at = put(at, res->body);
    b->end += (size_t)(at - start);
    ENSURE(b->end <= b->cap);
}
