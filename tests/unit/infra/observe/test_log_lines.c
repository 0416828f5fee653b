/* Log lines: what stands in them, what can't, and a reader that does not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "orderly/base/check.h"
#include "orderly/base/mem.h"
#include "orderly/infra/observe/log_lines.h"
#include "support/chance.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
    struct log_lines lines;
    int fds[2];
    char text[LOG_BUFFER_SIZE * 2];
};

static int64_t noon(void *ctx)
{
    (void)ctx;
    return INT64_C(1795176000000);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    assert_int_equal(pipe(f->fds), 0);
    assert_true(fcntl(f->fds[0], F_SETFL, O_NONBLOCK) == 0);
    log_lines_init(&f->lines, f->fds[1], LOG_INFO, noon, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    log_lines_deinit(&f->lines);
    (void)close(f->fds[0]);
    (void)close(f->fds[1]);
    mem_free(f);
    return 0;
}

/* What has arrived so far, as a C string. */
static const char *arrived(struct fixture *f)
{
    size_t n = 0;
    long got;

    do {
        (void)log_lines_flush(&f->lines);
        got = read(f->fds[0], f->text + n, sizeof(f->text) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    } while (got > 0);
    f->text[n] = 0;
    return f->text;
}

static void write_one(struct fixture *f, enum log_level level, const char *event, struct str value)
{
    struct log_field field = { "value", value };

    log_write(&f->lines.log, level, event, &field, 1);
}

static void assert_value(struct fixture *f, struct str value, const char *expected)
{
    char line[LOG_LINE_MAX];

    write_one(f, LOG_INFO, "e", value);
    (void)snprintf(line, sizeof(line), "ts=2026-11-20T12:00:00.000Z level=info event=e value=%s\n",
                   expected);
    assert_string_equal(arrived(f), line);
}

static void log_lines__have_time_level_event_and_fields(void **state)
{
    const struct log_field fields[] = { { "order", STR("0199a1f3") },
                                        { "topic", STR("order.placed") } };
    struct fixture *f = *state;

    log_write(&f->lines.log, LOG_WARN, "message", fields, 2);
    assert_string_equal(arrived(f), "ts=2026-11-20T12:00:00.000Z level=warn event=message "
                                    "order=0199a1f3 topic=order.placed\n");
}

static void log_lines__below_the_least_level_are_not_made(void **state)
{
    struct fixture *f = *state;

    write_one(f, LOG_DEBUG, "e", STR("x"));
    assert_string_equal(arrived(f), "");
}

static void log_lines__quote_what_would_look_like_another_field(void **state)
{
    struct fixture *f = *state;

    assert_value(f, STR("plain-1.2:3"), "plain-1.2:3");
    assert_value(f, STR(""), "\"\"");
    assert_value(f, STR("two words"), "\"two words\"");
    assert_value(f, STR("a=b"), "\"a=b\"");
    assert_value(f, STR("say \"hi\""), "\"say \\\"hi\\\"\"");
    assert_value(f, STR("back\\slash"), "\"back\\\\slash\"");
    assert_value(f, STR("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
}

static void log_lines__escape_what_could_begin_a_line_or_move_a_terminal(void **state)
{
    struct fixture *f = *state;

    assert_value(f, STR("a\nlevel=error"), "\"a\\nlevel=error\"");
    assert_value(f, STR("a\r\tb"), "\"a\\r\\tb\"");
    assert_value(f, STR("\x1b[2J"), "\"\\x1b[2J\"");
    assert_value(f, ((struct str){ "a\0b", 3 }), "\"a\\x00b\"");
    assert_value(f, STR("\x7f"), "\"\\x7f\"");
    assert_value(f, STR("bad \xff\xc3"), "\"bad \\xff\\xc3\"");
    assert_value(f,
                 STR("\xc2\x9b"
                     "31m"),
                 "\"\\u009b31m\"");
    assert_value(f,
                 STR("\xe2\x80\xae"
                     "evil"),
                 "\"\\u202eevil\"");
    assert_value(f, STR("\xe2\x80\xa8"), "\"\\u2028\"");
}

static void log_lines__cut_long_values_and_long_lines(void **state)
{
    struct fixture *f = *state;
    struct log_field fields[32];
    char big[2000];
    const char *line;
    size_t n;

    memset(big, 'x', sizeof(big));
    write_one(f, LOG_INFO, "e", (struct str){ big, sizeof(big) });
    line = arrived(f);
    n = strlen(line);
    assert_true(n < LOG_VALUE_MAX + 80);
    assert_string_equal(line + n - 6, "x…\"\n");
    for (unsigned i = 0; i < ARRAY_LEN(fields); i++)
        fields[i] = (struct log_field){ "field", { big, LOG_VALUE_MAX } };
    log_write(&f->lines.log, LOG_INFO, "e", fields, ARRAY_LEN(fields));
    line = arrived(f);
    n = strlen(line);
    assert_true(n <= LOG_LINE_MAX);
    assert_string_equal(line + n - 10, " cut=true\n");
}

/* Any bytes at all: one line, printable ASCII or well-formed UTF-8 without controls. */
static void log_lines__stay_one_line_whatever_the_value(void **state)
{
    struct chance chance = chance_init("log_lines");
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2000; i++) {
        char bytes[64];
        size_t n = chance_below(&chance, sizeof(bytes));
        const char *line;

        for (size_t b = 0; b < n; b++)
            bytes[b] = (char)chance_below(&chance, 256);
        write_one(f, LOG_INFO, "e", (struct str){ bytes, n });
        line = arrived(f);
        assert_true(str_is_utf8(str_of(line)));
        for (n = 0; line[n + 1]; n++)
            assert_true((unsigned char)line[n] >= 0x20 && line[n] != 0x7f);
        assert_int_equal(line[n], '\n');
    }
}

static void log_lines__do_not_wait_for_a_reader_and_count_what_was_lost(void **state)
{
    struct fixture *f = *state;
    char value[200];
    uint64_t written = 0, seen = 0;
    const char *text;

    memset(value, 'x', sizeof(value));
    while (f->lines.dropped_total < 100) {
        write_one(f, LOG_INFO, "e", (struct str){ value, sizeof(value) });
        if (written++ % 16 == 0)
            (void)log_lines_flush(&f->lines);
        assert_true(written < 100000);
    }
    text = arrived(f);
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        seen++;
    assert_int_equal(seen, written - 100);
    assert_null(strstr(text, "log_lines_dropped"));
    write_one(f, LOG_INFO, "again", STR("x"));
    text = arrived(f);
    assert_non_null(strstr(text, "level=warn event=log_lines_dropped count=100\n"));
    assert_non_null(strstr(text, "event=again"));
    assert_int_equal(f->lines.dropped, 0);
}

static void log_lines__leave_the_flags_of_the_shared_description_alone(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fcntl(f->fds[1], F_GETFL) & O_NONBLOCK, 0);
}

static void log_lines__survive_a_reader_that_has_gone(void **state)
{
    struct fixture *f = *state;
    int pair[2];

    (void)close(f->fds[0]);
    f->fds[0] = -1;
    write_one(f, LOG_ERROR, "e", STR("x")); /* SIGPIPE is ignored by main below, as in the server */
    assert_int_equal(log_lines_flush(&f->lines), 0);

    log_lines_deinit(&f->lines);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    log_lines_init(&f->lines, pair[0], LOG_INFO, NULL, NULL);
    write_one(f, LOG_INFO, "e", STR("x"));
    assert_int_equal(log_lines_flush(&f->lines), 0);
    (void)close(pair[1]);
    write_one(f, LOG_INFO, "e", STR("x"));
    assert_int_equal(log_lines_flush(&f->lines), 0);
    (void)close(pair[0]);
}

static void log_lines__wait_for_the_reader_at_the_end_but_not_for_ever(void **state)
{
    struct fixture *f = *state;
    char value[200];

    memset(value, 'x', sizeof(value));
    for (unsigned i = 0; i < 1000; i++)
        write_one(f, LOG_INFO, "e", (struct str){ value, sizeof(value) });
    log_lines_flush_within(&f->lines, 20);
    assert_true(f->lines.n > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(log_lines__have_time_level_event_and_fields),
        TEST(log_lines__below_the_least_level_are_not_made),
        TEST(log_lines__quote_what_would_look_like_another_field),
        TEST(log_lines__escape_what_could_begin_a_line_or_move_a_terminal),
        TEST(log_lines__cut_long_values_and_long_lines),
        TEST(log_lines__stay_one_line_whatever_the_value),
        TEST(log_lines__do_not_wait_for_a_reader_and_count_what_was_lost),
        TEST(log_lines__leave_the_flags_of_the_shared_description_alone),
        TEST(log_lines__survive_a_reader_that_has_gone),
        TEST(log_lines__wait_for_the_reader_at_the_end_but_not_for_ever),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
