/* The head of a request, found and measured before the parser sees it.
 *
 * Bytes may come in any pieces: the scan goes on where it stopped, and what it says depends on the
 * bytes only, never on the pieces. It checks every size, the request line as a whole, and that
 * lines end in CRLF and are not folded; llhttp then checks each field.
 */
#ifndef ORDERLY_INFRA_HTTP_HEAD_H
#define ORDERLY_INFRA_HTTP_HEAD_H
#include "orderly/infra/http/http.h"

enum head_result {
    HEAD_MORE,  /* not complete yet */
    HEAD_DONE,  /* scan.at bytes are the head, with its empty line */
    HEAD_FAULT, /* scan.fault */
};

struct head_scan {
    size_t at;         /* lines before this offset are done */
    size_t searched;   /* no line feed between at and here */
    size_t line_len;   /* of the request line with its end; 0: not seen yet */
    unsigned n_fields; /* lines seen after it */
    enum http_fault fault;

    /* From the request line, valid once line_is_valid. */
    bool line_is_valid;
    enum http_method method;
    int version_minor;
    size_t target_at, target_len;
};

/* p is the start of the head at every call, n what is there of it by now. */
enum head_result head_scan(struct head_scan *scan, const char *p, size_t n,
                           const struct http_limits *limits);

/* The parts of a target (RFC 9112 §3.2): origin, absolute or asterisk form. False: none of them.
 * authority is empty unless the form is absolute. */
struct head_target {
    struct str authority, path, query;
};
bool head_split_target(struct str target, enum http_method method, struct head_target *out);

/* host [":" port] of RFC 3986, not empty, no user information. name: without port, an IPv6 address
 * with its brackets. */
bool head_split_host(struct str host, struct str *name);

bool head_is_token_char(char c);
#endif
