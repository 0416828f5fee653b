#include "head.h"

/* Bits of chars[]. */
#define TOKEN 1  /* RFC 9110 §5.6.2 */
#define TARGET 2 /* RFC 3986: unreserved, reserved without '#', and '%' */
#define HOST 4   /* reg-name: unreserved, sub-delims, '%' */

#define ALNUM (TOKEN | TARGET | HOST)

static const unsigned char chars[256] = {
    ['0' ... '9'] = ALNUM, ['A' ... 'Z'] = ALNUM, ['a' ... 'z'] = ALNUM, ['-'] = ALNUM,
    ['.'] = ALNUM,         ['_'] = ALNUM,         ['~'] = ALNUM,         ['!'] = ALNUM,
    ['$'] = ALNUM,         ['&'] = ALNUM,         ['\''] = ALNUM,        ['*'] = ALNUM,
    ['+'] = ALNUM,         ['%'] = ALNUM,         ['('] = TARGET | HOST, [')'] = TARGET | HOST,
    [','] = TARGET | HOST, [';'] = TARGET | HOST, ['='] = TARGET | HOST, [':'] = TARGET,
    ['/'] = TARGET,        ['?'] = TARGET,        ['['] = TARGET,        [']'] = TARGET,
    ['@'] = TARGET,        ['#'] = TOKEN,         ['^'] = TOKEN,         ['`'] = TOKEN,
    ['|'] = TOKEN,
};

static bool is(char c, unsigned char kind)
{
    return (chars[(unsigned char)c] & kind) != 0;
}

bool head_is_token_char(char c)
{
    return is(c, TOKEN);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool method_of(struct str name, enum http_method *out)
{
    static const struct str names[HTTP_METHODS] = {
#define X(n) { #n, sizeof(#n) - 1 },
        HTTP_METHOD_NAMES(X)
#undef X
    };

    for (unsigned i = 0; i < HTTP_METHODS; i++) {
        if (str_eq(name, names[i])) {
            *out = (enum http_method)i;
            return true;
        }
    }
    return false;
}

/* line is without its CRLF. What is malformed is 400 before a version or a method is judged. */
static bool parse_request_line(struct head_scan *scan, const char *line, size_t n)
{
    static const char protocol[] = "HTTP/";
    size_t method_len = 0;
    size_t at;
    const char *version;

    scan->fault = HTTP_FAULT_REQUEST_LINE;
    while (method_len < n && is(line[method_len], TOKEN))
        method_len++;
    if (method_len == 0 || method_len == n || line[method_len] != ' ')
        return false;
    at = method_len + 1;
    scan->target_at = at;
    while (at < n && is(line[at], TARGET))
        at++;
    scan->target_len = at - scan->target_at;
    if (scan->target_len == 0 || at == n || line[at] != ' ')
        return false;
    version = line + at + 1;
    if (n - at - 1 != sizeof("HTTP/1.1") - 1 || memcmp(version, protocol, 5) != 0 ||
        !is_digit(version[5]) || version[6] != '.' || !is_digit(version[7]))
        return false;
    if (version[5] != '1' || version[7] > '1') {
        scan->fault = HTTP_FAULT_VERSION;
        return false;
    }
    scan->version_minor = version[7] - '0';
    if (!method_of((struct str){ line, method_len }, &scan->method)) {
        scan->fault = HTTP_FAULT_METHOD;
        return false;
    }
    scan->line_is_valid = true;
    return true;
}

static enum head_result fail(struct head_scan *scan, enum http_fault fault)
{
    scan->fault = fault;
    return HEAD_FAULT;
}

/* One whole line, with its line feed: where it ends is scan->at + len. */
static enum head_result take_line(struct head_scan *scan, const char *p, size_t len,
                                  const struct http_limits *limits)
{
    const char *line = p + scan->at;
    bool has_cr = len >= 2 && line[len - 2] == '\r';

    if (scan->line_len == 0) {
        if (len - (has_cr ? 2 : 1) > limits->request_line_max)
            return fail(scan, HTTP_FAULT_LINE_SIZE);
        if (!has_cr)
            return fail(scan, HTTP_FAULT_REQUEST_LINE);
        if (!parse_request_line(scan, line, len - 2))
            return HEAD_FAULT;
        scan->line_len = len;
        return HEAD_MORE;
    }
    if (len == 2 && has_cr)
        return HEAD_DONE;
    if (scan->at + len - scan->line_len > limits->header_block_max ||
        scan->n_fields == limits->header_fields_max)
        return fail(scan, HTTP_FAULT_HEADER_SIZE);
    if (!has_cr || line[0] == ' ' || line[0] == '\t')
        return fail(scan, HTTP_FAULT_HEADERS);
    scan->n_fields++;
    return HEAD_MORE;
}

/* Nothing in the rest can be right any more, though its line has not ended. */
static enum head_result judge_rest(struct head_scan *scan, size_t n,
                                   const struct http_limits *limits)
{
    size_t rest = n - scan->at;

    /* A line of exactly the limit may still have its CR behind it. */
    if (scan->line_len == 0) {
        if (rest > limits->request_line_max + 1)
            return fail(scan, HTTP_FAULT_LINE_SIZE);
    } else if (rest > 1 && n - scan->line_len >= limits->header_block_max) {
        return fail(scan, HTTP_FAULT_HEADER_SIZE);
    }
    return HEAD_MORE;
}

enum head_result head_scan(struct head_scan *scan, const char *p, size_t n,
                           const struct http_limits *limits)
{
    /* What does not begin like a request (TLS, say) need not be waited for. */
    if (n > 0 && !is(p[0], TOKEN))
        return fail(scan, HTTP_FAULT_REQUEST_LINE);
    while (scan->at < n) {
        size_t from = scan->searched > scan->at ? scan->searched : scan->at;
        const char *lf = from < n ? memchr(p + from, '\n', n - from) : NULL;
        enum head_result r;
        size_t len;

        if (lf == NULL) {
            scan->searched = n;
            return judge_rest(scan, n, limits);
        }
        len = (size_t)(lf + 1 - p) - scan->at;
        r = take_line(scan, p, len, limits);
        if (r == HEAD_FAULT)
            return r;
        scan->at += len;
        if (r == HEAD_DONE)
            return r;
    }
    return HEAD_MORE;
}

static bool strip_scheme(struct str *target)
{
    static const struct str schemes[] = { { "http://", 7 }, { "https://", 8 } };

    for (unsigned i = 0; i < ARRAY_LEN(schemes); i++) {
        struct str start = { target->p, schemes[i].n };

        if (target->n >= start.n && str_eq_nocase(start, schemes[i])) {
            *target = (struct str){ target->p + start.n, target->n - start.n };
            return true;
        }
    }
    return false;
}

bool head_split_target(struct str target, enum http_method method, struct head_target *out)
{
    const char *mark;

    *out = (struct head_target){ STR_NONE, STR_NONE, STR_NONE };
    if (str_eq(target, STR("*"))) {
        out->path = target;
        return method == HTTP_METHOD_OPTIONS;
    }
    if (target.n > 0 && target.p[0] != '/') {
        size_t n = 0;

        if (!strip_scheme(&target))
            return false;
        while (n < target.n && target.p[n] != '/' && target.p[n] != '?')
            n++;
        out->authority = (struct str){ target.p, n };
        target = (struct str){ target.p + n, target.n - n };
        if (out->authority.n == 0)
            return false;
        if (target.n == 0) {
            out->path = method == HTTP_METHOD_OPTIONS ? STR("*") : STR("/");
            return true;
        }
    }
    if (target.n == 0)
        return false;
    mark = memchr(target.p, '?', target.n);
    out->path = target;
    if (mark != NULL) {
        out->path.n = (size_t)(mark - target.p);
        out->query = (struct str){ mark + 1, target.n - out->path.n - 1 };
    }
    if (out->path.n == 0)
        out->path = STR("/");
    return true;
}

static bool is_ipv6_literal(struct str s)
{
    if (s.n < 4) /* [::] */
        return false;
    for (size_t i = 1; i + 1 < s.n; i++) {
        char c = s.p[i];

        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != ':' &&
            c != '.')
            return false;
    }
    return true;
}

bool head_split_host(struct str host, struct str *name)
{
    size_t n = 0;
    struct str port;

    if (host.n > 0 && host.p[0] == '[') {
        const char *end = memchr(host.p, ']', host.n);

        if (end == NULL)
            return false;
        n = (size_t)(end + 1 - host.p);
        if (!is_ipv6_literal((struct str){ host.p, n }))
            return false;
    } else {
        while (n < host.n && is(host.p[n], HOST))
            n++;
        if (n == 0)
            return false;
    }
    *name = (struct str){ host.p, n };
    if (n == host.n)
        return true;
    if (host.p[n] != ':')
        return false;
    port = (struct str){ host.p + n + 1, host.n - n - 1 };
    if (port.n > 5)
        return false;
    for (size_t i = 0; i < port.n; i++)
        if (!is_digit(port.p[i]))
            return false;
    return true;
}
