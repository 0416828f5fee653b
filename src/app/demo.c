/* --demo: adds what is missing, never changes what is there, and is safe on every start. */
#include "app_private.h"
#include "orderly/base/mem.h"

#define DEMO_STOCK 1000000

static const struct {
    const char *sku, *name, *description, *price;
} demo_products[] = {
    { "WIDGET-001", "Widget", "A widget for every purpose", "19.99" },
    { "GADGET-002", "Gadget", "A gadget with more buttons than the widget", "49.99" },
    { "COFFEE-COL-001", "Colombian coffee", "Whole beans, medium roast, 500 g", "24.99" },
    { "TEA-EARL-001", "Earl Grey tea", "Loose leaf with bergamot, 250 g", "12.99" },
    { "MUG-CERAMIC-001", "Ceramic mug", "350 ml, dishwasher safe", "15.99" },
    { "GRINDER-BURR-001", "Burr grinder", "Forty settings from espresso to press", "89.99" },
};

struct demo_product {
    struct add_product add;
    struct demo *demo;
};

struct demo {
    struct app *app;
    void (*ready)(void *ctx, enum err status);
    void *ctx;
    unsigned n_open;
    enum err status;
    struct arena arena;
    struct timer later;
    struct demo_product products[ARRAY_LEN(demo_products)];
};

static void demo_finish(struct timer *t)
{
    struct demo *d = container_of(t, struct demo, later);
    void (*ready)(void *ctx, enum err status) = d->ready;
    void *ctx = d->ctx;
    enum err status = d->status;

    d->app->demo = NULL;
    arena_deinit(&d->arena);
    mem_free(d);
    ready(ctx, status);
}

static void demo_render(struct command *c, const struct reply *r)
{
    struct add_product *add = container_of(c, struct add_product, command);
    struct demo_product *p = container_of(add, struct demo_product, add);

    if (r->code != REPLY_CREATED && r->code != REPLY_DUPLICATE_SKU)
        p->demo->status = ERR_IO;
}

static void demo_done(struct command *c)
{
    struct add_product *add = container_of(c, struct add_product, command);
    struct demo *d = container_of(add, struct demo_product, add)->demo;

    if (--d->n_open == 0)
        timer_start(&d->app->timers, &d->later, 0);
}

/* 10 % off a line from 3 pieces, and 10.00 off above 100.00, in carts; where nothing was set. */
static void demo_discounts(struct app *app)
{
    struct discount_rules *rules = &app->config.discounts[FLOW_PAY_FIRST];

    if (rules->line_percent_hundredths || rules->order_amount)
        return;
    *rules = (struct discount_rules){
        .line_percent_hundredths = 1000,
        .line_from_quantity = 3,
        .order_amount = 1000,
        .order_above = 10000,
        .order_currency = { "USD" },
    };
}

void app_add_demo(struct app *a, void (*ready)(void *ctx, enum err status), void *ctx)
{
    struct demo *d = mem_zalloc(sizeof(*d));
    bool needs_products = app_has(a, CONTEXT_ORDERS) || app_has(a, CONTEXT_INVENTORY);

    demo_discounts(a);
    *d = (struct demo){ .app = a, .ready = ready, .ctx = ctx, .n_open = 1 };
    a->demo = d;
    arena_init(&d->arena, NULL, 0);
    timer_init(&d->later, demo_finish);
    for (unsigned i = 0; needs_products && i < ARRAY_LEN(demo_products); i++) {
        struct add_product *add = &d->products[i].add;

        d->products[i].demo = d;
        add->command = (struct command){
            .app = a, .arena = &d->arena, .render = demo_render, .done = demo_done
        };
        if (!sku_parse(str_of(demo_products[i].sku), &add->sku))
            UNREACHABLE("the demo's skus are skus");
        add->name = str_of(demo_products[i].name);
        add->description = str_of(demo_products[i].description);
        add->price = str_of(demo_products[i].price);
        add->currency = STR("USD");
        add->stock = DEMO_STOCK;
        d->n_open++;
        add_product_start(add);
    }
    if (--d->n_open == 0)
        timer_start(&a->timers, &d->later, 0);
}
