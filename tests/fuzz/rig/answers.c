#include "answers.h"
#include "fuzz.h"
#include "orderly/app/reply.h"
#include "orderly/infra/http/http.h"
#include <yyjson.h>

#define SHOWN 400 /* of an answer that is wrong */

#define EXPECT(a, x, what)                                                                         \
    FUZZ_EXPECT(x, "%s:\n%.*s", what, (int)((a).n < SHOWN ? (a).n : SHOWN), (a).p)

/* ---- the message ----------------------------------------------------------------------------- */

static bool is_token(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static struct str take_line(struct str whole, struct str *rest)
{
    const char *end = memmem(rest->p, rest->n, "\r\n", 2);
    struct str line = { rest->p, end ? (size_t)(end - rest->p) : 0 };

    EXPECT(whole, end != NULL, "a line has no end");
    rest->p += line.n + 2;
    rest->n -= line.n + 2;
    return line;
}

static void check_field(struct str whole, struct str line)
{
    size_t n = 0;

    while (n < line.n && is_token(line.p[n]))
        n++;
    EXPECT(whole, n > 0, "a field has no name");
    EXPECT(whole, n + 2 < line.n && line.p[n] == ':' && line.p[n + 1] == ' ', "an odd field");
    for (size_t i = n; i < line.n; i++)
        EXPECT(whole, (uint8_t)line.p[i] >= 0x20 && line.p[i] != 0x7f, "a control in a field");
}

static void check_head(struct answer_seen *out)
{
    struct str rest = out->head, line = take_line(out->head, &rest);

    EXPECT(out->head, line.n > 13 && memcmp(line.p, "HTTP/1.1 ", 9) == 0, "no status line");
    for (unsigned i = 9; i < 12; i++) {
        EXPECT(out->head, line.p[i] >= '0' && line.p[i] <= '9', "no status");
        out->status = out->status * 10 + (line.p[i] - '0');
    }
    EXPECT(out->head, line.p[12] == ' ', "no reason");
    while ((line = take_line(out->head, &rest)).n)
        check_field(out->head, line);
    EXPECT(out->head, rest.n == 0, "more than a head");
    out->is_interim = out->status == 100;
    out->closes = str_eq_nocase(answer_field(out, "Connection"), STR("close"));
}

struct str answer_field(const struct answer_seen *a, const char *name)
{
    struct str rest = a->head, found = STR_NONE, line;
    size_t n = strlen(name);

    (void)take_line(a->head, &rest); /* the status */
    while ((line = take_line(a->head, &rest)).n) {
        if (line.n < n + 2 || line.p[n] != ':' ||
            !str_eq_nocase((struct str){ line.p, n }, str_of(name)))
            continue;
        EXPECT(a->head, found.n == 0, "a field is there twice");
        found = (struct str){ line.p + n + 2, line.n - n - 2 };
    }
    return found;
}

/* False: it ends before the last chunk. */
static bool take_chunks(struct str *rest, struct buf *joined)
{
    struct str whole = *rest;

    joined->n = 0;
    while (memmem(rest->p, rest->n, "\r\n", 2)) {
        struct str at = *rest, line = take_line(whole, &at);
        size_t n = 0;

        EXPECT(whole, line.n >= 1 && line.n <= 8, "an odd chunk");
        for (size_t i = 0; i < line.n; i++) {
            const char *digits = "0123456789abcdef0123456789ABCDEF";
            const char *digit = strchr(digits, line.p[i]);

            EXPECT(whole, line.p[i] && digit, "an odd chunk");
            n = n * 16 + (size_t)(digit - digits) % 16;
        }
        if (at.n < n + 2)
            break;
        EXPECT(whole, memcmp(at.p + n, "\r\n", 2) == 0, "a chunk has no end");
        buf_add(joined, at.p, n);
        *rest = (struct str){ at.p + n + 2, at.n - n - 2 };
        if (n == 0)
            return true;
    }
    *rest = STR_NONE;
    return false;
}

static void take_body(struct str *rest, bool may_be_cut, struct buf *joined,
                      struct answer_seen *out)
{
    struct str length = answer_field(out, "Content-Length");
    struct str coding = answer_field(out, "Transfer-Encoding");
    uint64_t n = 0;

    EXPECT(out->head, answer_field(out, "Date").n == 29, "no date");
    if (coding.n) {
        EXPECT(out->head, str_eq(coding, STR("chunked")) && !length.n, "an odd coding");
        out->is_cut = !take_chunks(rest, joined);
        EXPECT(out->head, !out->is_cut || may_be_cut, "the chunks have no end");
        out->body = buf_str(joined);
        return;
    }
    if (out->status == 204 || out->status == 304) {
        EXPECT(out->head, !length.n, "a length where there is no body");
        return;
    }
    if (!length.n && out->closes) { /* of HTTP/1.0: to the end */
        out->body = *rest;
        *rest = STR_NONE;
        return;
    }
    if (!length.n) {
        EXPECT(out->head, str_eq(answer_field(out, "Content-Type"), STR("text/event-stream")),
               "nothing says where the answer ends");
        out->is_bodiless = true; /* HEAD of a stream, whose length nobody knows */
        return;
    }
    EXPECT(out->head, str_to_u64(length, &n), "an odd length");
    if (n > 0 && (rest->n == 0 || str_starts_with(*rest, STR("HTTP/1.1 ")))) {
        out->is_bodiless = true; /* no body of ours begins so */
        return;
    }
    out->is_cut = rest->n < n;
    EXPECT(out->head, !out->is_cut || may_be_cut, "the body is short");
    if (n > rest->n)
        n = rest->n;
    out->body = (struct str){ rest->p, n };
    rest->p += n;
    rest->n -= n;
}

void answer_take(struct str *rest, bool may_be_cut, struct buf *joined, struct answer_seen *out)
{
    const char *end = memmem(rest->p, rest->n, "\r\n\r\n", 4);

    *out = (struct answer_seen){ .status = 0 };
    if (!end) {
        EXPECT(*rest, may_be_cut, "no whole head");
        out->is_cut = true;
        *rest = STR_NONE;
        return;
    }
    out->head = (struct str){ rest->p, (size_t)(end - rest->p) + 4 };
    rest->p += out->head.n;
    rest->n -= out->head.n;
    check_head(out);
    if (!out->is_interim)
        take_body(rest, may_be_cut, joined, out);
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* Beside those of REPLY_MAP and HTTP_FAULT_MAP. What a server in order never answers, 500 first of
 * all, is left out on purpose. */
static const struct {
    int status;
    const char *code;
} problems[] = {
    { 400, "malformed_json" },  { 400, "bad_request" },
    { 401, "unauthorized" },    { 403, "forbidden" },
    { 403, "forbidden_topic" }, { 405, "method_not_allowed" },
    { 406, "not_acceptable" },  { 410, "log_restored" },
    { 413, "too_large" },       { 415, "unsupported_media_type" },
};

static bool is_documented(int status, struct str code)
{
#define X(name, text, number)                                                                      \
    if ((number) >= 400 && (number) != 500 && status == (number) && str_eq(code, STR(text)))       \
        return true;
    REPLY_MAP(X)
#undef X
    for (unsigned i = 0; i < HTTP_FAULTS; i++) {
        if (http_fault_rows[i].status == status && str_eq(code, str_of(http_fault_rows[i].code)))
            return true;
    }
    for (unsigned i = 0; i < ARRAY_LEN(problems); i++) {
        if (problems[i].status == status && str_eq(code, str_of(problems[i].code)))
            return true;
    }
    return false;
}

static struct str text_of(yyjson_val *v)
{
    return yyjson_is_str(v) ? (struct str){ yyjson_get_str(v), yyjson_get_len(v) } : STR_NONE;
}

static struct str member_of(yyjson_val *v, const char *name)
{
    return text_of(yyjson_obj_get(v, name));
}

static void check_problem(const struct answer_seen *a, yyjson_val *root)
{
    struct str code = member_of(root, "code"), type = member_of(root, "type");
    yyjson_val *errors = yyjson_obj_get(root, "errors"), *error;
    size_t i, n;

    EXPECT(a->body, yyjson_get_int(yyjson_obj_get(root, "status")) == a->status, "another status");
    EXPECT(a->body, is_documented(a->status, code), "an answer that no page names");
    EXPECT(a->body, type.n > 10 && str_eq((struct str){ type.p + 10, type.n - 10 }, code),
           "a type that is not of the code");
    EXPECT(a->body, member_of(root, "title").n > 0, "no title");
    EXPECT(a->body, member_of(root, "requestId").n == 36, "no request id");
    yyjson_arr_foreach(errors, i, n, error)
    {
        int n_places = yyjson_is_str(yyjson_obj_get(error, "pointer"));

        n_places += yyjson_is_str(yyjson_obj_get(error, "parameter"));
        n_places += yyjson_is_str(yyjson_obj_get(error, "header"));
        EXPECT(a->body, n_places == 1 && member_of(error, "detail").n > 0, "an odd fault");
    }
    EXPECT(a->body, !str_eq(code, STR("validation")) || yyjson_arr_size(errors) > 0,
           "something is wrong, but what?");
}

void answer_check(const struct answer_seen *a)
{
    struct str type = answer_field(a, "Content-Type");
    bool is_problem = str_eq(type, STR("application/problem+json"));
    yyjson_doc *doc;

    if (a->is_interim)
        return;
    EXPECT(a->head,
           a->status == 200 || a->status == 201 || a->status == 202 || a->status == 204 ||
               a->status == 304 || a->status >= 400,
           "an odd status");
    EXPECT(a->head, (a->status >= 400) == is_problem, "a problem is problem+json, nothing else is");
    EXPECT(a->head, a->status != 500, "an error of the server's own");
    if (a->is_bodiless || a->is_cut || (!is_problem && !str_eq(type, STR("application/json"))))
        return;
    /* An outside context may have said a number that no double holds; it is JSON all the same. */
    doc = yyjson_read(a->body.p, a->body.n, YYJSON_READ_BIGNUM_AS_RAW);
    EXPECT(a->body, doc != NULL, "the body is no JSON");
    if (is_problem)
        check_problem(a, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
}
