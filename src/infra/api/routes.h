/* The one table of routes: from it come routing, access, Allow, the limits of bodies, the labels of
 * the metrics and the query parameters that a route knows. */
#ifndef ORDERLY_INFRA_API_ROUTES_H
#define ORDERLY_INFRA_API_ROUTES_H
#include "access.h"
#include "orderly/app/contexts.h"
#include "orderly/infra/http/http.h"
#include <stdint.h>

#define ROUTE_SEGMENTS_MAX 5
#define ROUTE_PARAMS_MAX 2
#define ROUTE_PATTERNS_MAX 48
#define ROUTE_MESSAGE_BODY_MAX ((size_t)256 * 1024)

struct call;

enum route_answer { ROUTE_JSON, ROUTE_TEXT, ROUTE_STREAM };

struct route {
    enum http_method method; /* GET answers HEAD too */
    const char *pattern;     /* /orders/{id}; also the label */
    unsigned roles;          /* bits of enum role beside operator; ROLE_ANYBODY: needs no token */
    void (*handle)(struct call *c);
    const char *query; /* the parameters it knows, each between blanks; NULL: none */
    size_t body_max;   /* 0: the server's */
    unsigned contexts; /* bits of CONTEXT_BIT: one of them has to be here; 0: any process has it */
    bool is_new_work;  /* makes work for the contexts: refused unread while the door is full */
    bool is_long;      /* the answer may have megabytes */
    enum route_answer answer;
};

/* One pattern with its methods. */
struct route_pattern {
    const char *pattern;
    struct str segments[ROUTE_SEGMENTS_MAX]; /* p == NULL: a parameter */
    unsigned n_segments, n_params;
    const struct route *by_method[HTTP_METHODS];
    struct str allow; /* "GET, HEAD, OPTIONS" */
    char allow_text[64];
};
struct route_table {
    unsigned n;
    struct route_pattern patterns[ROUTE_PATTERNS_MAX];
};

extern const struct route routes[];
extern const unsigned routes_len;

void route_table_init(struct route_table *t);

struct route_match {
    const struct route_pattern *pattern; /* NULL: nothing here */
    struct str params[ROUTE_PARAMS_MAX]; /* decoded */
    bool has_prefix;
};
/* ERR_INVALID: a broken escape. */
MUST_CHECK enum err route_find(const struct route_table *t, struct str path, struct arena *a,
                               struct route_match *out);
/* The method's route; GET's for HEAD. NULL: 405. */
const struct route *route_of(const struct route_pattern *p, enum http_method m);
/* Is the parameter one of the route's? */
bool route_knows(const struct route *r, struct str parameter);
#endif
