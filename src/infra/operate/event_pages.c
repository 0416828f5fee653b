#include "event_pages.h"

void event_pages_init(struct event_pages *p)
{
    *p = (struct event_pages){ .query.limit = QUERY_LIMIT_MAX };
    arena_init(&p->arena, NULL, 0);
}

void event_pages_deinit(struct event_pages *p)
{
    arena_deinit(&p->arena);
}

struct page_look {
    struct event_pages *pages;
    enum err status;
};

static void page_look_run(void *ctx, const struct store_view *v)
{
    struct page_look *look = ctx;
    struct event_pages *p = look->pages;

    look->status = query_events(v, &p->arena, &p->query, &p->page);
}

enum err event_pages_next(struct event_pages *p, struct operate *op)
{
    struct page_look look = { .pages = p };

    arena_reset(&p->arena);
    operate_look(op, page_look_run, &look);
    if (look.status != ERR_OK)
        return look.status;
    if (p->page.n)
        p->query.after = p->page.events[p->page.n - 1].position;
    if (p->page.has_more)
        p->query.after = p->page.next;
    return ERR_OK;
}
