/* The head goes through llhttp in one piece, out of the request's arena, so that names and values
 * are views of it. The callbacks collect; what the fields mean for the message is judged after. */
#include "conn.h"

static struct http_conn *conn_of(llhttp_t *parser)
{
    return parser->data;
}

static struct http_header *last_header(struct http_request *req)
{
    /* The array is ours; it is const to others only. */
    return (struct http_header *)req->headers + req->n_headers;
}

static int on_field(llhttp_t *parser, const char *p, size_t n)
{
    struct http_conn *c = conn_of(parser);

    if (c->is_head_done)
        return 0; /* trailers are dropped */
    if (c->current->n_headers == c->n_headers_max)
        return HPE_USER;
    *last_header(c->current) = (struct http_header){ { p, n }, STR_NONE };
    return 0;
}

static int on_value(llhttp_t *parser, const char *p, size_t n)
{
    struct http_conn *c = conn_of(parser);

    if (!c->is_head_done)
        last_header(c->current)->value = (struct str){ p, n };
    return 0;
}

/* Calls take for each element of a comma-separated list. */
static void each_element(struct http_conn *c, struct str list,
                         void (*take)(struct http_conn *c, struct str element))
{
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma != NULL ? (size_t)(comma - list.p) : list.n;

        take(c, str_trim((struct str){ list.p, n }));
        if (comma == NULL)
            return;
        list = (struct str){ comma + 1, list.n - n - 1 };
    }
}

static void take_connection_option(struct http_conn *c, struct str option)
{
    if (str_eq_nocase(option, STR("close")))
        c->has_close = true;
    else if (str_eq_nocase(option, STR("keep-alive")))
        c->has_keep_alive = true;
}

/* Only `chunked`, once and last, is known. */
static void take_coding(struct http_conn *c, struct str coding)
{
    if (c->coding == CODING_CHUNKED || coding.n == 0)
        c->coding = CODING_BAD;
    else if (c->coding == CODING_BAD)
        return;
    else if (str_eq_nocase(coding, STR("chunked")))
        c->coding = CODING_CHUNKED;
    else
        c->coding_before = true;
}

static void take_field(struct http_conn *c, const struct http_header *h)
{
    /* By length first: most fields are none of ours. */
    switch (h->name.n) {
    case 4:
        if (str_eq_nocase(h->name, STR("Host")) && c->n_hosts++ == 0)
            c->current->host = h->value;
        break;
    case 6:
        if (str_eq_nocase(h->name, STR("Expect"))) {
            if (str_eq_nocase(h->value, STR("100-continue")))
                c->current->expects_continue = true;
            else
                c->expects_other = true;
        }
        break;
    case 10:
        if (str_eq_nocase(h->name, STR("Connection")))
            each_element(c, h->value, take_connection_option);
        break;
    case 17:
        if (str_eq_nocase(h->name, STR("Transfer-Encoding"))) {
            c->has_coding = true;
            each_element(c, h->value, take_coding);
        }
        break;
    default:
        break;
    }
}

static int on_value_complete(llhttp_t *parser)
{
    struct http_conn *c = conn_of(parser);
    struct http_header *h;

    if (c->is_head_done)
        return 0;
    h = last_header(c->current);
    h->value = str_trim(h->value);
    take_field(c, h);
    c->current->n_headers++;
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_conn *c = conn_of(parser);

    c->is_head_done = true;
    c->current->content_length = parser->content_length;
    c->current->is_chunked = (parser->flags & F_CHUNKED) != 0;
    parser->upgrade = 0; /* Upgrade is ignored */
    return 0;
}

static int on_body(llhttp_t *parser, const char *p, size_t n)
{
    body_add(conn_of(parser)->current, p, n);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    conn_of(parser)->is_message_done = true;
    return HPE_PAUSED; /* what follows is the next request, for a fresh parser */
}

static const llhttp_settings_t settings = {
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

static enum http_fault fault_of(llhttp_errno_t e)
{
    switch (e) {
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return HTTP_FAULT_CONTENT_LENGTH;
    case HPE_INVALID_TRANSFER_ENCODING:
        return HTTP_FAULT_FRAMING;
    case HPE_INVALID_URL:
        return HTTP_FAULT_TARGET;
    default:
        return HTTP_FAULT_HEADERS;
    }
}

/* The parser must have eaten the head exactly, and have seen in it what the scan saw. */
static bool run_parser(struct http_conn *c, struct http_request *req, const char *p, size_t n,
                       enum http_fault *fault)
{
    llhttp_errno_t e = llhttp_execute(&c->parser, p, n);

    if (e == HPE_PAUSED && llhttp_get_error_pos(&c->parser) == p + n)
        e = HPE_OK;
    *fault = fault_of(e);
    if (e != HPE_OK)
        return false;
    return c->is_head_done && req->n_headers == c->n_headers_max &&
           c->parser.http_minor == req->version_minor;
}

static bool judge_host(struct http_conn *c, struct http_request *req, struct str authority,
                       enum http_fault *fault)
{
    struct str name = STR_NONE;

    *fault = HTTP_FAULT_HOST;
    if (c->n_hosts > 1 || (c->n_hosts == 0 && req->version_minor == 1))
        return false;
    if (c->n_hosts == 1 && !head_split_host(req->host, &name))
        return false;
    *fault = HTTP_FAULT_AUTHORITY;
    if (c->n_hosts == 1 && !host_is_allowed(&c->server->config, name))
        return false;
    if (authority.n == 0)
        return true;
    /* An absolute target wins over Host (RFC 9112 §3.2.2). */
    req->host = authority;
    if (!head_split_host(authority, &name)) {
        *fault = HTTP_FAULT_TARGET;
        return false;
    }
    return host_is_allowed(&c->server->config, name);
}

static bool judge_framing(struct http_conn *c, struct http_request *req, enum http_fault *fault)
{
    bool has_length = (c->parser.flags & F_CONTENT_LENGTH) != 0;

    *fault = HTTP_FAULT_FRAMING;
    if (c->has_coding) {
        if (has_length || req->version_minor == 0 || c->coding != CODING_CHUNKED)
            return false;
        if (c->coding_before) {
            *fault = HTTP_FAULT_CODING;
            return false;
        }
    }
    /* The parser and we must have come to the same end of the message. */
    if (req->is_chunked != c->has_coding)
        return false;
    req->has_body = req->is_chunked || (has_length && req->content_length > 0);
    return req->has_body != c->is_message_done;
}

bool parse_head(struct http_conn *c, struct http_request *req, const char *p, size_t n,
                enum http_fault *fault)
{
    struct head_target target;
    char *head = arena_alloc(&req->arena, n);

    memcpy(head, p, n);
    c->n_headers_max = c->scan.n_fields;
    if (c->n_headers_max > 0)
        req->headers = arena_alloc(&req->arena, c->n_headers_max * sizeof(struct http_header));
    c->is_head_done = c->is_message_done = false;
    c->n_hosts = 0;
    c->has_close = c->has_keep_alive = c->has_coding = c->expects_other = false;
    c->coding = CODING_NONE;
    c->coding_before = false;
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;

    req->target = (struct str){ head + c->scan.target_at, c->scan.target_len };
    *fault = HTTP_FAULT_TARGET;
    if (!head_split_target(req->target, req->method, &target))
        return false;
    if (!run_parser(c, req, head, n, fault) || !judge_framing(c, req, fault) ||
        !judge_host(c, req, target.authority, fault))
        return false;
    req->path = target.path;
    req->query = target.query;
    req->keeps_alive = !c->has_close && (req->version_minor == 1 || c->has_keep_alive);
    if (req->version_minor == 0) {
        req->expects_continue = false; /* RFC 9110 §10.1.1 */
    } else if (c->expects_other) {
        *fault = HTTP_FAULT_EXPECT;
        return false;
    }
    return true;
}

bool parse_chunks(struct http_conn *c, const char *p, size_t n)
{
    llhttp_errno_t e = llhttp_execute(&c->parser, p, n);

    if (e == HPE_PAUSED)
        return llhttp_get_error_pos(&c->parser) == p + n;
    return e == HPE_OK;
}
