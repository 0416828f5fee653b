/* Events in log order, page by page, each page in a look of its own. */
#ifndef SRC_INFRA_OPERATE_EVENT_PAGES_H
#define SRC_INFRA_OPERATE_EVENT_PAGES_H
#include "frame.h"
#include "orderly/app/queries.h"

struct event_pages {
    struct event_query query; /* set by the caller; .after and .limit are moved on */
    struct event_page page;   /* valid until the next call */
    struct arena arena;
};

void event_pages_init(struct event_pages *p);
void event_pages_deinit(struct event_pages *p);
/* Reads the next page; pages->page.has_more: there is another one now. */
MUST_CHECK enum err event_pages_next(struct event_pages *p, struct operate *op);
#endif
