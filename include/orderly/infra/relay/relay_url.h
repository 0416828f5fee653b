/* URLs of brokers: SCHEME://[USER@]HOST[:PORT][,HOST[:PORT]…][/PATH]. Pure. */
#ifndef ORDERLY_INFRA_RELAY_URL_H
#define ORDERLY_INFRA_RELAY_URL_H
#include "orderly/base/str.h"
#include "orderly/infra/relay/relay_options.h"

/* Views of the URL. */
struct relay_url {
    enum relay_kind kind;
    bool is_tls;
    struct str user;    /* may be empty */
    struct str address; /* HOST[:PORT][,…] */
    struct str path;    /* without its slash; may be empty */
};

/* NULL: fine. Else what is wrong with it; a URL with a password is refused, because others see it
 * in the list of processes. */
const char *relay_url_parse(struct str url, struct relay_url *out);

/* Takes the next URL off a list. A comma before something without a scheme belongs to the URL: it
 * stands between its hosts. False: there is none left. */
bool relay_url_next(struct str *list, struct str *url);
/* NULL: each of the list is fine; an empty one is. */
const char *relay_url_list_check(struct str list);
#endif
