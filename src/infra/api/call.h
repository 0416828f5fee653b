/* One request on its way through the API: what was found out about it, and the ways to answer.
 *
 * Lives in the request's arena, from on_headers to the answer. Every function that answers ends the
 * call: the request and its memory may be gone when it returns. */
#ifndef ORDERLY_INFRA_API_CALL_H
#define ORDERLY_INFRA_API_CALL_H
#include "access.h"
#include "orderly/app/app.h"
#include "orderly/app/timers.h"
#include "orderly/infra/http/http.h"
#include "orderly/infra/http/target.h"
#include "orderly/infra/inbound/json_in.h"
#include "orderly/infra/render/cloud_event.h"
#include "orderly/infra/render/json_out.h"
#include "render.h"
#include "routes.h"

struct api;

struct call {
    struct api *api;
    struct app *app;
    struct http_request *req;
    const struct route *route;
    struct str params[ROUTE_PARAMS_MAX]; /* decoded, in the order of the pattern */
    struct http_query query;
    enum role role;
    struct text_id caller;
    bool has_prefix;    /* came under /api */
    struct timer timer; /* of a refusal that waits */
    bool is_delayed;
    bool is_refused; /* under pressure: 503, paced */
    struct list refusal;
    void *waiting; /* what http_request_on_abort has to find */
};

/* The loop's writer, emptied; valid until the next call of this. */
struct json_out *call_out(struct call *c);
/* Made when it is first asked for. */
struct str call_request_id(struct call *c);
/* `path` as the client has to write it: with /api where it came so. */
struct str call_location(struct call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

struct str etag_of(struct arena *a, uint64_t tag);
/* If-None-Match names the tag: the answer is 304. */
bool call_is_unchanged(const struct call *c, uint64_t tag);

/* ---- answers --------------------------------------------------------------------------------- */

struct call_extra { /* all may be empty */
    struct str etag, location, link;
    const char *header, *value; /* one more */
};
void call_send(struct call *c, int status, struct str content_type, struct str body,
               const struct call_extra *extra);
/* What was written to call_out. */
void call_send_out(struct call *c, int status, const struct call_extra *extra);
void call_problem(struct call *c, int status, const char *code, const char *detail);
void call_problem_with(struct call *c, const struct problem *p, const struct call_extra *extra);
/* 400 with all faults. */
void call_refuse(struct call *c, const struct json_in *in);
void call_not_found(struct call *c, const char *what);
/* 421: none of these contexts is in this process. */
void call_elsewhere(struct call *c, unsigned contexts);
/* How a read ended that has no result. */
void call_read_failed(struct call *c, enum err e, const char *what);

/* ---- what the query says --------------------------------------------------------------------- */

/* False: not there. */
bool call_param(const struct call *c, const char *name, struct str *value);
/* A fault of a query parameter; of a header field. name and detail stay valid. */
void call_fault(struct json_in *in, const char *name, const char *detail);
void call_fault_header(struct json_in *in, const char *name, const char *detail);
const struct cloud_config *call_cloud_config(const struct call *c);
/* How messages are to be written: as `encoding` says; where it is not there, as CloudEvents if Accept
 * names their media type and wants it at least as much as JSON. */
enum cloud_encoding call_encoding(const struct call *c, struct json_in *in, struct str media_type);
unsigned call_limit(const struct call *c, struct json_in *in);
enum call_place { PLACE_FINE, PLACE_INVALID, PLACE_ELSEWHERE };
/* The value of a parameter or a field as a place in this log; ELSEWHERE: in another one, or ahead. */
enum call_place call_position(const struct call *c, struct str value, uint64_t *position);
void call_restored(struct call *c); /* the answer to ELSEWHERE */
bool call_header(const struct call *c, const char *name, struct str *value);
/* All lines of a field whose value is a list, as one (RFC 9110 §5.3). */
bool call_header_list(const struct call *c, const char *name, struct str *value);

#define CALL_TYPE_JSON STR("application/json")
#define CALL_TYPE_PROBLEM STR("application/problem+json")
#endif
