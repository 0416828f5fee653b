/* Options: one table, four ways to say a value, one order of precedence, and complaints that name
 * the source, the key and what is allowed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../src/infra/options/table.h"
#include "orderly/base/mem.h"
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define ARGS_MAX 16

struct fixture {
    struct options o;
    struct buf complaints, warnings;
    char *args[ARGS_MAX + 1], *env[ARGS_MAX + 1];
    unsigned n_args, n_env;
    char path[64]; /* "" or a file to remove */
};

static char *copy_of(const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(mem_alloc(n), text, n);
}

static int setup(void **state)
{
    *state = mem_zalloc(sizeof(struct fixture));
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < f->n_args; i++)
        mem_free(f->args[i]);
    for (unsigned i = 0; i < f->n_env; i++)
        mem_free(f->env[i]);
    if (f->path[0])
        (void)unlink(f->path);
    buf_deinit(&f->complaints);
    buf_deinit(&f->warnings);
    mem_free(f);
    return 0;
}

static void give_arg(struct fixture *f, const char *arg)
{
    assert_true(f->n_args < ARGS_MAX);
    f->args[f->n_args++] = copy_of(arg);
}

static void give_set(struct fixture *f, const char *assignment)
{
    give_arg(f, "--set");
    give_arg(f, assignment);
}

static void give_env(struct fixture *f, const char *line)
{
    assert_true(f->n_env < ARGS_MAX);
    f->env[f->n_env++] = copy_of(line);
}

static void give_file(struct fixture *f, const char *text)
{
    char template[] = "/tmp/orderly_options_XXXXXX";
    int fd = mkstemp(template);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (long)strlen(text));
    assert_int_equal(close(fd), 0);
    memcpy(f->path, template, sizeof(template));
    give_arg(f, "--config");
    give_arg(f, f->path);
}

static enum options_result run(struct fixture *f)
{
    return options_read(&f->o, f->n_args, f->args, f->env, &f->complaints, &f->warnings);
}

static void assert_read(struct fixture *f)
{
    enum options_result result = run(f);

    if (f->complaints.n)
        print_message("%.*s", (int)f->complaints.n, f->complaints.p);
    assert_int_equal(result, OPTIONS_OK);
}

static void assert_says(struct fixture *f, const char *text)
{
    buf_add(&f->complaints, "", 1);
    f->complaints.n--;
    if (!strstr(f->complaints.p, text))
        print_message("said:\n%s", f->complaints.p);
    assert_non_null(strstr(f->complaints.p, text));
}

static void options__are_the_defaults_of_the_layers_when_nothing_is_said(void **state)
{
    struct fixture *f = *state;
    struct http_limits limits;

    http_limits_set_defaults(&limits);
    assert_read(f);
    assert_string_equal(f->o.listen, "127.0.0.1:8080");
    assert_int_equal(f->o.drain_ms, 10000);
    assert_int_equal(f->o.app.payment_timeout_ms, app_config_default.payment_timeout_ms);
    assert_int_equal(f->o.app.retries, app_config_default.retries);
    assert_memory_equal(&f->o.http, &limits, sizeof(limits));
    assert_false(f->o.demo);
}

static void options__flag_beats_variable_beats_file_beats_default(void **state)
{
    struct fixture *f = *state;

    give_file(f, "drain = 1s\nlog.level = debug\npayment.timeout = 1m\n");
    give_env(f, "ORDERLY_DRAIN=2s");
    give_env(f, "ORDERLY_LOG_LEVEL=warn");
    give_arg(f, "--drain=3s");
    assert_read(f);
    assert_int_equal(f->o.drain_ms, 3000);
    assert_int_equal(f->o.log_level, LOG_WARN);
    assert_int_equal(f->o.app.payment_timeout_ms, 60000);
    assert_int_equal(f->o.app.retries, app_config_default.retries);
}

static void options__contexts_are_a_list_of_names(void **state)
{
    struct fixture *f = *state;

    give_arg(f, "--contexts=shipments, Orders");
    assert_read(f);
    assert_int_equal(f->o.app.contexts, CONTEXT_BIT(ORDERS) | CONTEXT_BIT(SHIPMENTS));
}

static void options__the_last_of_two_equal_flags_wins(void **state)
{
    struct fixture *f = *state;

    give_set(f, "drain=1s");
    give_arg(f, "--drain");
    give_arg(f, "5s");
    assert_read(f);
    assert_int_equal(f->o.drain_ms, 5000);
}

/* Who names the second broker does not mean that there is no first one. */
static void options__of_relays_all_flags_count(void **state)
{
    struct fixture *f = *state;

    give_env(f, "ORDERLY_RELAY=nats://env");
    give_arg(f, "--relay");
    give_arg(f, "nats://a,b");
    give_arg(f, "--relay=kafka://c");
    give_set(f, "relay=amqp://d");
    assert_read(f);
    assert_string_equal(f->o.relay, "nats://a,b,kafka://c,amqp://d");
}

static void options__a_file_has_comments_quotes_and_blank_lines(void **state)
{
    struct fixture *f = *state;

    give_file(f, "# the shop\n\n  drain=4s   # a while\r\n"
                 "simulators.payments.reason = \"Card #1 declined\"\n"
                 "names = shop.example,shop#2\n\tdemo = yes");
    assert_read(f);
    assert_int_equal(f->o.drain_ms, 4000);
    assert_string_equal(f->o.app.simulators.payments.reason, "Card #1 declined");
    assert_string_equal(f->o.names, "shop.example,shop#2");
    assert_true(f->o.demo);
}

static void options__a_delay_for_both_flows_yields_to_one_of_its_own(void **state)
{
    struct fixture *f = *state;

    give_set(f, "simulators.payments.delayMs.pay_first=7");
    give_set(f, "simulators.payments.delayMs=20");
    give_set(f, "simulators.inventory.delayMs=0");
    give_env(f, "ORDERLY_SIMULATORS_INVENTORY_DELAY_MS_STOCK_FIRST=9");
    assert_read(f);
    assert_int_equal(f->o.app.simulators.payments.delay_ms[FLOW_PAY_FIRST], 7);
    assert_int_equal(f->o.app.simulators.payments.delay_ms[FLOW_STOCK_FIRST], 20);
    /* A flag for both beats a variable for one. */
    assert_int_equal(f->o.app.simulators.inventory.delay_ms[FLOW_STOCK_FIRST], 0);
}

static void options__set_reaches_every_kind_of_value(void **state)
{
    struct fixture *f = *state;

    give_set(f, "simulators.payments.mode=wait");
    give_set(f, "simulators.payments.failureRate=0.25");
    give_set(f, "simulators.payments.declineAbove=100.50");
    give_set(f, "discounts.pay_first.line_percent=12.5");
    give_set(f, "discounts.pay_first.order_amount=10");
    give_set(f, "discounts.pay_first.currency=JPY");
    assert_read(f);
    assert_int_equal(f->o.app.simulators.payments.mode, PAYMENTS_WAIT);
    assert_true(fabs(f->o.app.simulators.payments.failure_rate - 0.25) < 1e-9);
    assert_true(f->o.app.simulators.payments.has_decline_above);
    assert_int_equal(f->o.app.simulators.payments.decline_above_e4, 1005000);
    assert_int_equal(f->o.app.discounts[FLOW_PAY_FIRST].line_percent_hundredths, 1250);
    assert_int_equal(f->o.app.discounts[FLOW_PAY_FIRST].order_amount,
                     10); /* yen have no minor unit */
    assert_string_equal(f->o.app.discounts[FLOW_PAY_FIRST].order_currency.code, "JPY");
}

static void options__an_amount_without_currency_is_of_the_default_one(void **state)
{
    struct fixture *f = *state;

    give_set(f, "currency.default=EUR");
    give_set(f, "discounts.stock_first.order_amount=10");
    assert_read(f);
    assert_string_equal(f->o.app.discounts[FLOW_STOCK_FIRST].order_currency.code, "EUR");
    assert_int_equal(f->o.app.discounts[FLOW_STOCK_FIRST].order_amount, 1000);
}

static void options__every_limit_of_the_http_server_can_be_set(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < http_limit_rows_len; i++) {
        char key[96];
        unsigned at;
        struct buf why = { 0 };

        (void)snprintf(key, sizeof(key), "http.%s", http_limit_rows[i].name);
        at = option_find(str_of(key));
        assert_true(at < option_count());
        options_set_defaults(&f->o);
        assert_true(option_set(option_at(at), &f->o, STR("77"), &why));
        assert_int_equal(http_limits_get(&f->o.http, &http_limit_rows[i]), 77);
        assert_false(option_set(option_at(at), &f->o, STR("0"), &why));
        buf_deinit(&why);
    }
}

/* What is printed as the default can be written into a file and means the same. */
static void options__every_printed_value_reads_back_as_itself(void **state)
{
    struct fixture *f = *state;
    struct options *copy = mem_alloc(sizeof(*copy));
    struct buf text = { 0 }, again = { 0 }, why = { 0 };

    options_set_defaults(&f->o);
    for (unsigned i = 0; i < option_count(); i++) {
        const struct option *opt = option_at(i);

        text.n = again.n = 0;
        option_print(opt, &f->o, &text);
        if (!text.n)
            continue;
        options_set_defaults(copy);
        assert_true(option_set(opt, copy, buf_str(&text), &why));
        option_print(opt, copy, &again);
        assert_true(str_eq(buf_str(&text), buf_str(&again)));
    }
    buf_deinit(&text);
    buf_deinit(&again);
    buf_deinit(&why);
    mem_free(copy);
}

static void options__keys_and_variables_are_unique(void **state)
{
    (void)state;
    for (unsigned i = 0; i < option_count(); i++) {
        char env[OPTION_ENV_MAX];

        assert_int_equal(option_find(str_of(option_at(i)->key)), i);
        option_env_name(option_at(i), env);
        for (unsigned j = 0; j < i; j++) {
            char other[OPTION_ENV_MAX];

            option_env_name(option_at(j), other);
            assert_string_not_equal(env, other);
        }
    }
}

static void options__values_at_the_edge_are_taken_and_beyond_it_refused(void **state)
{
    static const struct {
        const char *key, *good, *bad;
    } cases[] = {
        { "payment.timeout", "0", "30" },
        { "payment.timeout", "1h30m", "1h30" },
        { "payment.timeout", "3650d", "3651d" },
        { "drain", "1h", "61m" },
        { "simulators.payments.delayMs", "60000", "60001" },
        { "simulators.payments.delayMs", "1m", "-1" },
        { "simulators.payments.failureRate", "1.0", "1.000000001" },
        { "simulators.payments.seed", "9223372036854775807", "9223372036854775808" },
        { "simulators.payments.declineAbove", "none", "1e3" },
        { "simulators.payments.declineAbove", "0.0001", "0.00001" },
        { "discounts.pay_first.line_percent", "100", "100.01" },
        { "discounts.pay_first.order_above", "99.990", "99.999" },
        { "currency.default", "JPY", "jpy" },
        { "cache_bytes", "1MiB", "1023KiB" },
        { "cache_bytes", "1048576", "1MB" },
        { "memory_events_max", "1000", "999" },
        { "bus.retries", "0", "" },
        { "log.level", "error", "ERROR" },
        { "log.audit", "off", "maybe" },
        { "simulators.payments.reason", "x", "" },
        { "simulators.payments.reason", "caf\xc3\xa9", "caf\xe9" },
        { "listen", "[::1]:0", "a\tb" },
        { "store", "memory", "disk" },
        { "contexts", "orders", "" },
        { "contexts", "payments,inventory", "payments,stock" },
        { "contexts", " shipments ", "shipments," },
        { "contexts", "orders,payments", "orders,payments,orders" },
        { "contexts", "orders", "orders payments" },
        { "listen", "*:80", "127.0.0.1" },
        { "listen", "127.0.0.1:65535", "127.0.0.1:65536" },
        { "relay", "nats://a:1,b:2,kafka://c", "nats://a:1,b:2,kafka://c:0" },
        { "relay", "", "redis://a" },
        { "relay.kafka.url", "kafka+tls://a:1,b:2", "nats://a" },
        { "relay.nats.url", "", "nats://me:secret@a" },
        { "relay.rabbitmq.channel", "Shop-1_b", "shop.1" },
        { "relay.rabbitmq.channel", "s", "" },
        { "relay.nats.group", "", "a b" },
        { "relay.nats.topics", "order.*, payment.approved", "order.*,payment.eaten" },
        { "relay.nats.topics", "*", ", ," },
        { "relay.nats.slack_percent", "0", "-1" },
        { "relay.nats.slack_percent", "10000", "10001" },
        { "relay.kafka.window", "1", "0" },
        { "relay.kafka.window", "65536", "65537" },
        { "relay.rabbitmq.unacked_max", "1", "0" },
        { "relay.rabbitmq.unacked_max", "4096", "4097" },
    };
    struct fixture *f = *state;

    options_set_defaults(&f->o);
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned at = option_find(str_of(cases[i].key));
        struct buf why = { 0 };

        assert_true(at < option_count());
        print_message("%s: %s, not %s\n", cases[i].key, cases[i].good, cases[i].bad);
        assert_true(option_set(option_at(at), &f->o, str_of(cases[i].good), &why));
        assert_int_equal(why.n, 0);
        assert_false(option_set(option_at(at), &f->o, str_of(cases[i].bad), &why));
        assert_int_not_equal(why.n, 0);
        buf_deinit(&why);
    }
}

static void options__says_all_faults_of_the_command_line_at_once(void **state)
{
    struct fixture *f = *state;

    give_set(f, "payment.timout=5s");
    give_set(f, "nonsense");
    give_arg(f, "--lisen");
    give_arg(f, "127.0.0.1:0");
    give_arg(f, "extra");
    give_arg(f, "--payment.timeout=1s");
    give_arg(f, "--drain");
    assert_int_equal(run(f), OPTIONS_USAGE);
    assert_says(f, "--set: there is no option 'payment.timout'; did you mean 'payment.timeout'?");
    assert_says(f, "--set nonsense: must be key=value");
    assert_says(f, "there is no option '--lisen'; did you mean '--listen'?");
    assert_says(f, "'extra': options start with two dashes");
    assert_says(f, "--payment.timeout: is set by --set payment.timeout=");
    assert_says(f, "--drain: a value is missing");
}

static void options__names_file_and_line_of_a_fault(void **state)
{
    struct fixture *f = *state;
    char text[256];

    give_file(f, "drain = 1s\n\nlog.levle = debug\nsimulators.shipments.mode = reject\n"
                 "just words\ndrain = 2s\nconfig = x\n");
    assert_int_equal(run(f), OPTIONS_CONFIG);
    (void)snprintf(text, sizeof(text),
                   "%s:3: there is no option 'log.levle'; did you mean 'log.level'?", f->path);
    assert_says(f, text);
    (void)snprintf(text, sizeof(text),
                   "%s:4: simulators.shipments.mode: 'reject': must be one of: "
                   "auto, wait",
                   f->path);
    assert_says(f, text);
    (void)snprintf(text, sizeof(text), "%s:5: must be 'key = value'", f->path);
    assert_says(f, text);
    (void)snprintf(text, sizeof(text), "%s:6: drain: is set before, at %s:1: drain", f->path,
                   f->path);
    assert_says(f, text);
    assert_says(f, "'config' can't be set in a file");
}

static void options__names_the_variable_of_a_fault(void **state)
{
    struct fixture *f = *state;

    give_env(f, "ORDERLY_LOG_LEVEL=loud");
    assert_int_equal(run(f), OPTIONS_CONFIG);
    assert_says(f, "ORDERLY_LOG_LEVEL: 'loud': must be one of: debug, info, warn, error");
}

/* What others on the host may read in the list of processes need not be in a log, too. */
static void options__do_not_repeat_a_url_that_may_hold_a_password(void **state)
{
    struct fixture *f = *state;

    give_arg(f, "--relay=amqp://shop:secret@rabbit");
    give_set(f, "relay.nats.url=nats://shop:secret@nats\x01");
    assert_int_equal(run(f), OPTIONS_USAGE);
    assert_says(f, "--relay: a password does not belong into a URL");
    assert_says(f, "--set relay.nats.url: must not hold control characters");
    assert_null(strstr(f->complaints.p, "secret"));
}

static void options__name_the_relays_that_were_spoken_of(void **state)
{
    struct fixture *f = *state;

    give_set(f, "relay.kafka.window=1");
    give_set(f, "relay.kafka.topics=order.*");
    give_env(f, "ORDERLY_RELAY_RABBITMQ_URL=amqp://rabbit");
    assert_read(f);
    assert_string_equal(f->o.relays[RELAY_NATS].said, "");
    assert_string_equal(f->o.relays[RELAY_KAFKA].said, "relay.kafka.topics relay.kafka.window");
    assert_string_equal(f->o.relays[RELAY_RABBITMQ].said, "");
}

/* By a variable or by a file of its own, and by nothing that others can read. */
static void options__take_secrets_of_relays_from_the_environment(void **state)
{
    char longest[64 + RELAY_SECRET_MAX + 2] = "ORDERLY_RELAY_KAFKA_PASSWORD=";
    struct fixture *f = *state;
    size_t n = strlen(longest);

    memset(longest + n, 's', RELAY_SECRET_MAX);
    give_env(f, longest);
    give_env(f, "ORDERLY_RELAY_NATS_TOKEN=t");
    give_env(f, "ORDERLY_RELAY_RABBITMQ_PASSWORD=");
    assert_read(f);
    assert_int_equal(f->warnings.n, 0);
    assert_int_equal(strlen(f->o.relays[RELAY_KAFKA].password), RELAY_SECRET_MAX);
    assert_string_equal(f->o.relays[RELAY_NATS].token, "t");
    assert_string_equal(f->o.relays[RELAY_NATS].password, "");
    assert_string_equal(f->o.relays[RELAY_RABBITMQ].password, "");
    longest[n + RELAY_SECRET_MAX] = 's';
    give_env(f, longest);
    give_set(f, "relay.nats.password=x");
    assert_int_equal(run(f), OPTIONS_USAGE);
    assert_says(f, "ORDERLY_RELAY_KAFKA_PASSWORD: must be at most 1024 bytes");
    assert_says(f, "there is no option 'relay.nats.password'");
    assert_null(strstr(f->complaints.p, "sss"));
}

static void options__warns_of_variables_that_are_no_option(void **state)
{
    struct fixture *f = *state;

    give_env(f, "ORDERLY_SERVICE_HOST=10.0.0.1");
    give_env(f, "HOME=/root");
    give_env(f, "ORDERLY_LOGLEVEL=debug");
    assert_read(f);
    assert_true(str_eq(buf_str(&f->warnings), STR("ORDERLY_SERVICE_HOST ORDERLY_LOGLEVEL")));
}

static void options__a_file_that_is_not_there_is_a_fault(void **state)
{
    struct fixture *f = *state;

    give_env(f, "ORDERLY_CONFIG=/nowhere/orderly.conf");
    assert_int_equal(run(f), OPTIONS_CONFIG);
    assert_says(f, "ORDERLY_CONFIG: can't read '/nowhere/orderly.conf': No such file or directory");
}

static void options__help_names_every_option(void **state)
{
    struct buf help = { 0 };

    (void)state;
    options_print_help(&help);
    buf_add(&help, "", 1);
    for (unsigned i = 0; i < option_count(); i++) {
        const struct option *opt = option_at(i);
        const char *key = opt->help_key ? opt->help_key : opt->key, *first = strstr(help.p, key);
        char own[64];

        assert_non_null(first);
        if (key[0]) /* some are the beginning of another */
            continue;
        (void)snprintf(own, sizeof(own), "relay.K.%s", strrchr(opt->key, '.') + 1);
        first = strstr(help.p, own); /* told of for all brokers, once */
        assert_non_null(first);
        (void)snprintf(own, sizeof(own), "relay.K.%s = ", strrchr(opt->key, '.') + 1);
        assert_null(strstr(strstr(help.p, own) + 1, own));
        assert_null(strstr(help.p, opt->key));
    }
    buf_deinit(&help);
}

static void options__a_list_is_split_at_commas_without_blanks_and_holes(void **state)
{
    struct str items[4];

    (void)state;
    assert_int_equal(options_list(" a, b.example ,,c", items, 4), 3);
    assert_true(str_eq(items[0], STR("a")));
    assert_true(str_eq(items[1], STR("b.example")));
    assert_true(str_eq(items[2], STR("c")));
    assert_int_equal(options_list("", items, 4), 0);
    assert_int_equal(options_list("a,b,c", items, 2), 2);
}

/* Each of these would be taken and then never match a request. */
static void options__items_that_no_request_can_have_are_refused(void **state)
{
    static const struct {
        const char *key, *value;
        bool ok;
    } rows[] = {
        { "names", "shop.example, [fd00::1], other", true },
        { "names", "shop.example:8080", false },
        { "names", "http://shop.example", false },
        { "names", "shop example", false },
        { "origins", "https://shop.example,http://localhost:3000,app://x", true },
        { "origins", "https://shop.example/", false },
        { "origins", "shop.example", false },
        { "origins", "://shop", false },
        { "origins", "https://", false },
        { "cloudevents.source", "/shop", true },
        { "cloudevents.source", "https://shop.example/a?b#c", true },
        { "cloudevents.source", "our shop", false },
        { "cloudevents.source", "caf\xc3\xa9", false },
        { "cloudevents.source", "", false },
        { "cloudevents.type_prefix", "com.example.", true },
        { "cloudevents.type_prefix", "", true },
        { "cloudevents.type_prefix", "com example", false },
    };
    struct fixture *f = *state;
    struct buf why = { 0 }, many = { 0 };
    char text[CLOUD_SOURCE_MAX + 1];

    options_set_defaults(&f->o);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct option *opt = option_at(option_find(str_of(rows[i].key)));

        assert_int_equal(option_set(opt, &f->o, str_of(rows[i].value), &why), rows[i].ok);
    }
    memset(text, 'a', sizeof(text));
    for (size_t n = CLOUD_SOURCE_MAX; n <= CLOUD_SOURCE_MAX + 1; n++)
        assert_int_equal(option_set(option_at(option_find(STR("cloudevents.source"))), &f->o,
                                    (struct str){ text, n }, &why),
                         n == CLOUD_SOURCE_MAX);
    for (size_t n = CLOUD_TYPE_PREFIX_MAX; n <= CLOUD_TYPE_PREFIX_MAX + 1; n++)
        assert_int_equal(option_set(option_at(option_find(STR("cloudevents.type_prefix"))), &f->o,
                                    (struct str){ text, n }, &why),
                         n == CLOUD_TYPE_PREFIX_MAX);
    for (unsigned n = 1; n <= OPTIONS_LIST_MAX + 1; n++) {
        buf_printf(&many, "%sn%u", n > 1 ? "," : "", n);
        assert_int_equal(
            option_set(option_at(option_find(STR("names"))), &f->o, buf_str(&many), &why),
            n <= OPTIONS_LIST_MAX);
    }
    buf_deinit(&why);
    buf_deinit(&many);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options__are_the_defaults_of_the_layers_when_nothing_is_said),
        TEST(options__flag_beats_variable_beats_file_beats_default),
        TEST(options__contexts_are_a_list_of_names),
        TEST(options__the_last_of_two_equal_flags_wins),
        TEST(options__of_relays_all_flags_count),
        TEST(options__a_file_has_comments_quotes_and_blank_lines),
        TEST(options__a_delay_for_both_flows_yields_to_one_of_its_own),
        TEST(options__set_reaches_every_kind_of_value),
        TEST(options__an_amount_without_currency_is_of_the_default_one),
        TEST(options__every_limit_of_the_http_server_can_be_set),
        TEST(options__every_printed_value_reads_back_as_itself),
        TEST(options__keys_and_variables_are_unique),
        TEST(options__values_at_the_edge_are_taken_and_beyond_it_refused),
        TEST(options__says_all_faults_of_the_command_line_at_once),
        TEST(options__names_file_and_line_of_a_fault),
        TEST(options__names_the_variable_of_a_fault),
        TEST(options__do_not_repeat_a_url_that_may_hold_a_password),
        TEST(options__name_the_relays_that_were_spoken_of),
        TEST(options__take_secrets_of_relays_from_the_environment),
        TEST(options__warns_of_variables_that_are_no_option),
        TEST(options__a_file_that_is_not_there_is_a_fault),
        TEST(options__help_names_every_option),
        TEST(options__a_list_is_split_at_commas_without_blanks_and_holes),
        TEST(options__items_that_no_request_can_have_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
