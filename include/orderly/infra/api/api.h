/* The API: what lies between the HTTP core and the app. Routes, access, JSON in and out.
 *
 *     api = api_create(&config);
 *     http_config.handler = api_handler(api);   http_server_init(&server, &http_config);
 *     api_attach(api, &server);                 for the metrics of connections
 *     …
 *     api_destroy(api);                         after http_server_deinit and before app_destroy
 *
 * Thread: loop, but for the rendering of lists, which runs on the thread of the store_read.
 */
#ifndef ORDERLY_INFRA_API_API_H
#define ORDERLY_INFRA_API_API_H
#include "orderly/app/app.h"
#include "orderly/app/message_reader.h"
#include "orderly/infra/http/http.h"
#include "orderly/infra/render/cloud_event.h"

struct api;

#define API_EPOCH_MAX 32

struct api_config {
    struct app *app;    /* borrowed */
    struct log *log;    /* borrowed; counts of refused tokens, never tokens */
    struct str version; /* borrowed; for build_info */
    struct str epoch;   /* borrowed; of the log: 1..API_EPOCH_MAX hexadecimal digits, lower case */
    /* Origins (scheme://host[:port]) beside the server's own whose pages may send unsafe requests. */
    const struct str *origins; /* borrowed */
    unsigned n_origins;
    struct cloud_config cloud; /* borrowed; of messages as CloudEvents; source empty: the default */
    /* Borrowed; reads refused messages anew when they are retried. NULL: as JSON and CloudEvents, on
     * the topics that POST /messages takes. */
    const struct message_reader *reader;
    /* Kept by the loop; may be NULL. Its maximum is reset when /metrics is read. */
    struct histogram *loop_lag;
};

/* Never NULL. Until api_load_tokens has succeeded everybody is operator: the caller sees to it that
 * such a server listens on loopback only. */
struct api *api_create(const struct api_config *config);
/* No request may be under way. */
void api_destroy(struct api *a);

struct http_handler api_handler(struct api *a);
void api_attach(struct api *a, struct http_server *server);

/* Reads the token file: lines `role token [name]`, roles customer, context and operator; `#` starts
 * a comment line. Only hashes are kept. On SIGHUP call it again with the same path: all tokens are
 * replaced at once, or, where the file is not good, none; open streams of a token that is gone end.
 *
 * ERR_OK. ERR_IO: it can't be read. ERR_INVALID: others may read or write it (mode beyond 0600), a
 * line is not valid, no token in it. *why (may be NULL) is a text for people, static or the api's,
 * valid until the next call; it names lines, never tokens. */
MUST_CHECK enum err api_load_tokens(struct api *a, const char *path, struct str *why);
MUST_CHECK enum err api_reload_tokens(struct api *a, struct str *why);
#endif
