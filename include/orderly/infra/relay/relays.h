/* The relays of a server, from what the operator says: URLs taken apart, secrets read, adapters
 * loaded, and all of them started, drained and closed together. Thread: loop. */
#ifndef ORDERLY_INFRA_RELAY_RELAYS_H
#define ORDERLY_INFRA_RELAY_RELAYS_H
#include "orderly/app/app.h"
#include "orderly/base/buf.h"
#include "orderly/infra/inbound/reader.h"
#include "orderly/infra/relay/relay_options.h"
#include "orderly/infra/render/cloud_event.h"
#include <uv.h>

/* In which relays_close is done, unless something hangs: a connect that is under way takes its time. */
#define RELAYS_CLOSE_MS 8000

/* Everything it points to outlives the relays. */
struct relays_config {
    const char *urls;                    /* --relay: a list of URLs, "" if there are none */
    const struct relay_options *options; /* RELAY_KINDS of them */
    const char *modules;                 /* folder of the adapters; "": where they are usually */
    struct str group;                    /* where an option names none */
    struct str origin;                   /* names this log among all others, for ever */
    struct cloud_config cloud;
    const struct inbound_reader *reader;
    struct log *log;
    struct app *app; /* not started */
    uv_loop_t *loop;
};

struct relays;
/* ERR_INVALID: something of it is wrong, or an adapter can't be loaded; complaints has a line for each
 * thing. Without a URL there are no relays, and nothing is loaded. */
MUST_CHECK enum err relays_create(const struct relays_config *config, struct relays **out,
                                  struct buf *complaints);
bool relays_any(const struct relays *r);
/* The app has started. */
void relays_start(struct relays *r);
/* Together with app_drain. */
void relays_drain(struct relays *r);
/* Once; on_closed runs later, or at once where there is nothing to close. */
void relays_close(struct relays *r, void (*on_closed)(void *ctx), void *ctx);
/* Closed, and the app is destroyed. NULL is fine. */
void relays_destroy(struct relays *r);
#endif
