#include "ask.h"
#include "fuzz.h"

void ask(struct shop *s, struct asked *a, struct str line, struct str headers, struct str body,
         bool is_stream)
{
    struct str got = shop_ask(s, line, headers, body);

    FUZZ_EXPECT(got.n > 0, STR_FMT ": no answer", STR_ARG(line));
    answer_take(&got, is_stream, &a->joined, &a->answer);
    FUZZ_EXPECT(got.n == 0, STR_FMT ": two answers to one request", STR_ARG(line));
    answer_check(&a->answer);
}

void asked_deinit(struct asked *a)
{
    buf_deinit(&a->joined);
}

void ask_add_escaped(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned c = (uint8_t)bytes.p[i];

        if (c <= 0x20 || c >= 0x7f || c == '#')
            buf_printf(out, "%%%02X", c);
        else
            buf_add(out, bytes.p + i, 1);
    }
}

void ask_add_header(struct buf *out, const char *name, struct str value)
{
    while (value.n) {
        struct str line = fuzz_take_line(&value);

        buf_printf(out, "%s: ", name);
        for (size_t i = 0; i < line.n; i++) {
            if (line.p[i] != '\r' && line.p[i] != '\0')
                buf_add(out, line.p + i, 1);
        }
        buf_add_str(out, STR("\r\n"));
    }
}
